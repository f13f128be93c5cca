"""Delivers alerts to their channels, at least once each. The only module that speaks Apprise."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import SecretStr

from jobs.store import Store
from jobs.store.messages import Message
from schemas.errors import AlertError, ConfigError

if TYPE_CHECKING:
    from apprise import Apprise

_LEASE = timedelta(minutes=5)

Send = Callable[[SecretStr, Message], None]


@dataclass(frozen=True)
class DeliveryReport:
    """What became of the alerts that were due."""

    messages: int
    """Messages that were sent; a digest is one."""
    alerts: int
    """Alerts in them."""
    failures: int
    """Messages that were not taken, and are tried again."""


def send_message(address: SecretStr, message: Message) -> None:
    """Send a message to an Apprise address.

    Raises:
        ConfigError: where the address is none that Apprise knows.
        AlertError: where the channel did not take it.
    """
    if not _opened(address).notify(body=message.body, title=message.title, body_format="text"):
        msg = (
            "The channel did not take the message. Check its address in [alerts.channels], and that it can be reached."
        )
        raise AlertError(msg)


def check_address(address: SecretStr) -> None:
    """Raise where an address is none that Apprise knows; nothing is sent.

    Raises:
        ConfigError: then, without the address.
    """
    _opened(address)


def _opened(address: SecretStr) -> "Apprise":
    import apprise

    # What Apprise logs repeats parts of addresses, so nothing of it may reach a log of ours.
    logging.getLogger("apprise").disabled = True
    channel = apprise.Apprise()
    if not channel.add(address.get_secret_value()):
        msg = "The address is none that Apprise knows; the forms are listed at https://github.com/caronc/apprise/wiki."
        raise ConfigError(msg)
    return channel


def deliver_alerts(
    store: Store,
    channels: Mapping[str, SecretStr],
    per_hour: int,
    clock: Callable[[], datetime],
    send: Send = send_message,
) -> DeliveryReport:
    """Send what is due, oldest first; a crash between sending and recording sends one message again.

    Args:
        store: the service's own database.
        channels: name and address of each.
        per_hour: most messages to a channel in an hour.
        clock: the time now.
        send: sends one message to an address.
    """
    messages = delivered = failures = 0
    for channel in store.outbox.channels_due(clock()):
        while (delivery := store.outbox.claim(channel, per_hour, clock(), _LEASE)) is not None:
            try:
                _send_to(channel, channels, delivery.message, send)
            except (AlertError, ConfigError) as exc:
                store.outbox.fail(delivery, str(exc), clock())
                failures += 1
                break  # the rest would fare no better now
            store.outbox.finish(delivery, clock())
            messages, delivered = messages + 1, delivered + delivery.alerts
    return DeliveryReport(messages, delivered, failures)


def send_test(channels: Mapping[str, SecretStr], channel: str, at: datetime, send: Send = send_message) -> None:
    """Send a test message to a channel.

    Raises:
        ConfigError: where there is no such channel, or its address is none.
        AlertError: where it did not take the message.
    """
    body = f"Sent at {at:%Y-%m-%d %H:%M:%S} UTC. Alerts of this kind reach you."
    _send_to(channel, channels, Message("Plumbline: a test message", body), send)


def _send_to(channel: str, channels: Mapping[str, SecretStr], message: Message, send: Send) -> None:
    if channel not in channels:
        known = ", ".join(sorted(channels)) or "none"
        msg = f"The configuration has no channel {channel!r}. The channels of [alerts] are: {known}."
        raise ConfigError(msg)
    send(channels[channel], message)
