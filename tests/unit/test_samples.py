from jobs.demo.samples import breast_cancer


def test_breast_cancer_records_are_numbered_labelled_and_mixed():
    records = breast_cancer()
    assert len(records) == 569
    assert records["id"].tolist() == list(range(1, 570))
    assert records["is_malignant"].sum() == 212
    assert 40 < records["is_malignant"].head(150).sum() < 75
    assert "mean_concave_points" in records
    assert breast_cancer().equals(records)
