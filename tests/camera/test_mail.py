"""A message says in plain words what happened, with the picture; what the server answers decides about another try."""

import contextlib
import smtplib
import socket
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgekit.camera.deliver.base import Setup
from edgekit.camera.deliver.mail import Mail, MailKeys, words_of
from edgekit.camera.deliver.queued.queued import RefusedError
from tests.camera.conftest import config_of

EVENT = {"id": "0190", "seq": 7, "type": "update", "label": "hornet", "count_max": 7, "top_score": 0.914,
         "device": "box", "camera": "hive", "start": "2026-08-01T10:00:00.000Z",
         "last_seen": "2026-08-01T10:05:00.000Z", "snapshot": {"path": "snapshots/day/0190.jpg"}}  # fmt: skip


class Server:
    """Speaks as much SMTP as it takes; `answers` replaces what it says to a command."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.got: list[bytes] = []
        self._answers = answers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._socket.accept()
                with link, link.makefile("rwb") as stream:
                    self._talk(stream)

    def _talk(self, stream: Any) -> None:
        def say(text: str) -> None:
            stream.write(text.encode() + b"\r\n")
            stream.flush()

        say("220 here")
        for line in stream:
            word = line.split()[0].decode().upper()
            if word == "DATA" and word not in self._answers:
                say("354 go on")
                lines = []
                for part in stream:
                    if part == b".\r\n":
                        break
                    lines.append(part)
                self.got.append(b"".join(lines))
            say(self._answers.get(word, "250 well"))
            if word == "QUIT":
                return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(**answers: str) -> Server:
        made.append(Server(answers))
        return made[-1]

    yield make
    for server in made:
        server.close()


def mail(port: int, *changes: str, **keys: Any) -> Mail:
    keys = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "hive@example.org",
            "to": ("keeper@example.org", "other@example.org"), **keys}  # fmt: skip
    return Mail(Setup(config_of(*changes), False, lambda: 10.0), MailKeys(**keys))


def received(server: Server) -> EmailMessage:
    message = message_from_bytes(server.got[0], policy=default)
    assert isinstance(message, EmailMessage)
    return message


def test_a_message_with_the_picture(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    (tmp_path / "snapshots" / "day").mkdir(parents=True)
    (tmp_path / "snapshots" / "day" / "0190.jpg").write_bytes(b"\xff\xd8jpeg")
    mail(server.port, f"store.folder={tmp_path}").send(EVENT)
    message = received(server)
    assert message["Subject"] == "hive (box): hornet, 7 at once"
    assert message["To"] == "keeper@example.org, other@example.org"
    body = message.get_body()
    assert body is not None
    assert "That many are a risk for the colony." in body.get_content()
    (picture,) = message.iter_attachments()
    assert (picture.get_content_type(), picture.get_content()) == ("image/jpeg", b"\xff\xd8jpeg")


@pytest.mark.parametrize("path", ["snapshots/day/gone.jpg", "../outside.jpg", "/etc/hostname"])
def test_a_picture_that_is_not_there_costs_no_message(path: str, serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    (tmp_path / "outside.jpg").write_bytes(b"x")
    mail(server.port, f"store.folder={tmp_path / 'store'}").send({**EVENT, "snapshot": {"path": path}})
    assert list(received(server).iter_attachments()) == []


def test_a_name_makes_no_header(serve: Callable[..., Server]) -> None:
    server = serve()
    mail(server.port).send({**EVENT, "camera": "hive\r\nBcc: everybody@example.org"})
    assert received(server)["Bcc"] is None


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({"MAIL": "550 not you"}, RefusedError),
        ({"RCPT": "550 nobody of that name"}, RefusedError),
        ({"DATA": "554 spam"}, RefusedError),
        ({"MAIL": "451 later"}, smtplib.SMTPSenderRefused),
        ({"RCPT": "450 later"}, smtplib.SMTPRecipientsRefused),
        ({"DATA": "421 later"}, smtplib.SMTPResponseException),
    ],
)
def test_what_the_answer_means(answers: dict[str, str], error: type[Exception], serve: Callable[..., Server]) -> None:
    with pytest.raises(error):
        mail(serve(**answers).port).send(EVENT)


def test_without_tls_nothing_is_sent_where_it_was_asked_for(serve: Callable[..., Server]) -> None:
    server = serve()
    with pytest.raises(smtplib.SMTPException):
        mail(server.port, security="starttls", user="keeper", password="swordfish").send(EVENT)
    assert server.got == []


@pytest.mark.parametrize("keys", [{"password": "swordfish"}, {"sender": "hive"}, {"to": ("a@b, c@d",)}, {"to": ()}])
def test_what_cannot_be_mailed_with_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        mail(25, **keys)
    assert "swordfish" not in str(error.value)


def test_plain_words() -> None:
    lost = {"type": "lost", "device": "box", "camera": "hive", "start": EVENT["start"], "why": "camera offline"}
    assert words_of(lost)[0] == "hive (box): the camera is lost"
    assert "(camera offline)" in words_of(lost)[1]
    assert "is back" in words_of({**lost, "type": "back"})[0]
    assert "stop flying out" in words_of({**EVENT, "count_max": 13})[1]
    assert "Last seen at" in words_of({**EVENT, "type": "end"})[1]
    assert words_of({**EVENT, "label": "bee", "count_max": 1})[0] == "hive (box): bee"
