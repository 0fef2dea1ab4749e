"""A mail about an approval (RFC 5322): text, and nothing else.

The rule: what came with a request is in its body, never in its headers, and no line of it begins with what is not ours.
Whoever gets the same mail twice can tell: its Message-ID is that of the event and the addressee.
"""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from extauthz.approval.telling.wording import OPEN, Wording
from extauthz.values.letters import Letter


def mail_of(letter: Letter, wording: Wording, *, sender: str, now: float) -> EmailMessage:
    """The mail that tells what a letter says, from the address `sender` to that of the letter."""
    domain = sender.rpartition("@")[2]
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = letter.to
    message["Subject"] = f"{wording.headline}: {wording.rule}"
    message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    message["Message-ID"] = f"<{letter.id}@{domain}>"
    # What is told of one approval stands together.
    message["References"] = f"<{letter.approval}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5: nobody who is away answers it
    facts = "\n".join(f"  {label}: {value}" for label, value in wording.facts)
    message.set_content(f"{wording.headline}.\n\n{OPEN}:\n{wording.link}\n\n{facts}\n")
    return message
