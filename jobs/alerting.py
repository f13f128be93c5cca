"""Delivers alerts to their channels, at least once each; the only module that uses Apprise."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import SecretStr

from jobs.alert_messages import digest_message
from jobs.store.alerts import Message
from jobs.store.outbox import Delivery, Outbox
from jobs.wording import utc
from schemas.errors import AlertError, ConfigError
from schemas.nearest import suggestion

if TYPE_CHECKING:
    from apprise import Apprise

_LEASE = timedelta(minutes=5)

Send = Callable[[SecretStr, Message], None]


@dataclass(frozen=True)
class DeliveryReport:
    """The outcome of delivering the alerts that were due."""

    messages: int
    """Number of sent messages; a digest is one."""
    alerts: int
    """Number of alerts in them."""
    failures: int
    """Number of messages that the channel did not accept; they are retried."""


def send_message(address: SecretStr, message: Message) -> None:
    """Send a message to an Apprise address.

    Raises:
        ConfigError: If Apprise does not recognise the address.
        AlertError: If the channel did not accept the message.
    """
    if not _open_channel(address).notify(body=message.body, title=message.title, body_format="text"):
        msg = "The channel did not accept the message. Check its address in [alerts.channels] and its availability."
        raise AlertError(msg)


def check_address(address: SecretStr) -> None:
    """Check that Apprise recognises an address, without sending a message.

    Raises:
        ConfigError: If it does not; the error does not contain the address.
    """
    _open_channel(address)


def _open_channel(address: SecretStr) -> "Apprise":
    import apprise

    # Apprise logs parts of addresses, so its log must not reach ours.
    logging.getLogger("apprise").disabled = True
    channel = apprise.Apprise()
    if not channel.add(address.get_secret_value()):
        msg = "Apprise does not recognise this address. Use a form listed at https://github.com/caronc/apprise/wiki."
        raise ConfigError(msg)
    return channel


def deliver_alerts(
    outbox: Outbox,
    channels: Mapping[str, SecretStr],
    per_hour: int,
    clock: Callable[[], datetime],
    send: Send = send_message,
) -> DeliveryReport:
    """Send the alerts that are due, oldest first; after a crash between sending and recording, a message is sent again.

    Args:
        outbox: the alerts.
        channels: address of each channel, by name.
        per_hour: maximum number of messages to a channel in an hour.
        clock: the time now.
        send: sends one message to an address.
    """
    messages = delivered = failures = 0
    for channel in outbox.due_channels(clock()):
        while (delivery := outbox.claim(channel, per_hour, clock(), _LEASE)) is not None:
            try:
                _send_to(channel, channels, message_of(delivery), send)
            except (AlertError, ConfigError) as exc:
                outbox.fail(delivery, str(exc), clock())
                failures += 1
                break  # the other messages would fail as well
            outbox.finish(delivery, clock())
            messages, delivered = messages + 1, delivered + delivery.alerts
    return DeliveryReport(messages, delivered, failures)


def message_of(delivery: Delivery) -> Message:
    """Return the message of a delivery: the text of its newest alert, or a digest."""
    if not delivery.is_digest:
        return delivery.messages[-1]
    return digest_message([message.title for message in delivery.messages], delivery.alerts)


def send_test(channels: Mapping[str, SecretStr], channel: str, at: datetime, send: Send = send_message) -> None:
    """Send a test message to a channel.

    Raises:
        ConfigError: If there is no such channel, or Apprise does not recognise its address.
        AlertError: If it did not accept the message.
    """
    body = f"Sent at {utc(at)}. Alerts on this channel reach you."
    _send_to(channel, channels, Message("Plumbline: a test message", body), send)


def _send_to(channel: str, channels: Mapping[str, SecretStr], message: Message, send: Send) -> None:
    if channel not in channels:
        configured = ", ".join(sorted(channels)) or "none"
        near = suggestion(channel, channels)
        msg = f"The configuration has no channel {channel!r}. The channels of [alerts] are: {configured}.{near}"
        raise ConfigError(msg)
    send(channels[channel], message)
