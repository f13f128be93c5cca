"""The quantile of the chi-squared distribution is SciPy's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import chdtri

from detector.core.chi_square import exceeded_with


@given(st.floats(1e-12, 0.9), st.integers(1, 400))
def test_the_quantile_is_that_of_scipy(probability, degrees):
    assert exceeded_with(probability, degrees) == pytest.approx(chdtri(degrees, probability), rel=1e-9)
