"""Events as e-mail in plain words, with the visit's picture while it is there."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from datetime import datetime
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from edgekit.camera.clock import seconds_of
from edgekit.camera.deliver.base import Delivery, Event, Setup
from edgekit.camera.deliver.queued.queued import QueuedDelivery, RefusedError, picture_of, secrets_of
from edgekit.camera.deliver.queued.rules import QueueKeys
from edgekit.camera.events.levels import level_of
from edgekit.camera.source.uri import expand
from edgekit.screen import shown

_TIMEOUT = 30.0  # seconds of silence
_WORDS = {
    "present": "", "none": "",
    "risk": "That many are a risk for the colony.",
    "high": "That many are a high risk for the colony.",
    "paralysis": "With that many, bees stop flying out.",
}  # fmt: skip


class MailKeys(QueueKeys):
    """What is below [deliver.email]."""

    host: str = Field(min_length=1, description="the server that takes mail")
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="tls: from the first byte, as on port 465; none: only without a password"
    )
    user: str | None = Field(default=None, repr=False, description="`${NAME}` is of the environment")
    password: str | None = Field(default=None, repr=False, description="`${NAME}` is of the environment")
    sender: str = Field(min_length=3, description="an address")
    to: tuple[str, ...] = Field(min_length=1, max_length=20, description="addresses")
    once: bool = Field(default=True, description="one message a visit; false: one an event")

    @field_validator("sender", "to")
    @classmethod
    def _addresses(cls, given: Any) -> Any:
        for address in [given] if isinstance(given, str) else given:
            if "@" not in address or any(c.isspace() or c in "<>," for c in address):
                raise ValueError("addresses, as keeper@example.org")
        return given

    @model_validator(mode="after")
    def _not_in_clear(self) -> MailKeys:
        if self.password is not None and self.security == "none":
            raise ValueError("a password is not sent in clear: security is starttls or tls")
        return self


class Mail(QueuedDelivery):
    """Sends a message to the keeper."""

    name = "email"
    Keys = MailKeys

    def __init__(self, setup: Setup, keys: MailKeys) -> None:
        super().__init__(setup, keys)
        self._mail = keys
        self._user = expand(keys.user) if keys.user is not None else ""
        self._password = expand(keys.password) if keys.password is not None else ""
        self.secrets = secrets_of(self._password, self._user)

    @classmethod
    def wanted(cls, setup: Setup, keys: Any) -> Delivery | None:
        return cls(setup, keys) if keys is not None else None

    def send(self, event: Event) -> None:
        """Sends one message. Raises RefusedError where the server never takes it (5xx), else whatever smtplib does."""
        message = message_of(event, self._mail, picture_of(self._setup, event))
        context = ssl.create_default_context()
        host, port = self._mail.host, self._mail.port
        link = (
            smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT, context=context)
            if self._mail.security == "tls"
            else smtplib.SMTP(host, port, timeout=_TIMEOUT)
        )
        try:
            if self._mail.security == "starttls":
                link.starttls(context=context)
            if self._user:
                link.login(self._user, self._password)
            _hand_over(link, message)
            with suppress(smtplib.SMTPException, OSError):  # it was taken, however the good-bye goes
                link.quit()
        finally:
            link.close()


def _hand_over(link: smtplib.SMTP, message: EmailMessage) -> None:
    """Raises RefusedError for an answer that is final."""
    try:
        link.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        if all(500 <= code < 600 for code in codes):
            raise RefusedError(f"the server knows none of the addresses ({codes[0]})") from None
        raise
    except smtplib.SMTPResponseException as error:
        if 500 <= error.smtp_code < 600:
            raise RefusedError(f"the server answered {error.smtp_code}") from None
        raise


def message_of(event: Event, keys: MailKeys, picture: bytes | None) -> EmailMessage:
    """An event as a keeper reads it.

    Args:
        picture: JPEG, attached where there is one.
    """
    message = EmailMessage()
    subject, text = words_of(event)
    message["Subject"] = shown(subject)
    message["From"], message["To"] = keys.sender, ", ".join(keys.to)
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(f"{event['seq']}", domain=keys.sender.rpartition("@")[2])
    message.set_content(text)
    if picture is not None:
        message.add_attachment(picture, "image", "jpeg", filename=f"{event['id']}.jpg")
    return message


def words_of(event: Event) -> tuple[str, str]:
    """What happened, as a subject and a text."""
    place = f"{event['camera']} ({event['device']})"
    if event["type"] in ("lost", "back"):
        since = _local(event["start"])
        if event["type"] == "back":
            return f"{place}: the camera is back", f"The camera is back. It was lost since {since}.\n"
        why = f" ({event['why']})" if event.get("why") else ""
        return (
            f"{place}: the camera is lost",
            f"The camera has given no picture since {since}{why}.\nNobody watches the hive until it is back.\n",
        )
    label, most = str(event["label"]), int(event.get("count_max", 0))
    level = level_of(label, most)
    lines = [f"{label} at {place} since {_local(event['start'])}, at most {most} at once."]
    lines += [_WORDS[level]] if level and _WORDS[level] else []
    if event["type"] == "end":
        lines.append(f"Last seen at {_local(event['last_seen'])}.")
    lines.append(f"The model is {100 * float(event.get('top_score', 0)):.0f} % sure of the clearest one.")
    return f"{place}: {label}" + (f", {most} at once" if most > 1 else ""), "\n".join(lines) + "\n"


def _local(time: object) -> str:
    """An event's time as a clock at the hive shows it."""
    return datetime.fromtimestamp(seconds_of(time)).strftime("%H:%M on %d.%m.%Y")
