"""Consent receipts: signed, about no visitor, and worth nothing once revoked."""

from __future__ import annotations

import base64
import datetime

import pytest

from collector.privacy.consent_receipts import LIFETIME, MOST_RECEIPTS, Receipts

DAY = datetime.date(2026, 3, 1)
SECRET = ("only for this test",)


def test_a_receipt_is_read_back_as_it_was_issued() -> None:
    """By any process that has the secret."""
    text = Receipts(SECRET).issue("site.test", "tcf", DAY)
    receipt = Receipts(SECRET).read(text, "site.test", DAY)
    assert receipt is not None
    assert (receipt.site, receipt.evidence, receipt.day) == ("site.test", "tcf", DAY)


def test_a_receipt_holds_nothing_of_the_visitor() -> None:
    """Site, evidence, date and a random number: two people's differ in the number alone."""
    receipts = Receipts(SECRET)
    texts = [receipts.issue("site.test", "tcf", DAY) for _ in range(2)]
    payloads = [base64.urlsafe_b64decode(text.partition(".")[0] + "==").decode() for text in texts]
    assert all(payload.startswith('["site.test","tcf","2026-03-01","') for payload in payloads)
    first, second = (receipts.read(text, "site.test", DAY) for text in texts)
    assert first is not None
    assert second is not None
    assert first.number != second.number


@pytest.mark.parametrize("other", ["", "x", "a.b.c", "\x00", "WyJhIl0.signature"])
def test_what_is_no_receipt_is_no_consent(other: str) -> None:
    """Anything at all may come."""
    assert Receipts(SECRET).read(other, "site.test", DAY) is None


def test_a_receipt_is_of_one_secret_one_site_and_its_time() -> None:
    """Forged, changed, of another site, of next week or of the day before yesterday: no consent."""
    receipts = Receipts(SECRET)
    text = receipts.issue("site.test", "tcf", DAY)
    assert Receipts(("another secret",)).read(text, "site.test", DAY) is None
    assert receipts.read(text.replace(".", "A.", 1), "site.test", DAY) is None
    assert receipts.read(text, "other.test", DAY) is None
    assert receipts.read(text, "site.test", DAY + LIFETIME) is not None
    assert receipts.read(text, "site.test", DAY + LIFETIME + datetime.timedelta(days=1)) is None
    assert receipts.read(text, "site.test", DAY - datetime.timedelta(days=7)) is None


def test_a_receipt_of_the_former_secret_is_spelt_anew() -> None:
    """It counts, in its one spelling, and what is returned is signed by the secret in force."""
    text = Receipts(SECRET).issue("site.test", "tcf", DAY)
    both, new = Receipts((*SECRET, "a new secret")), Receipts(("a new secret",))
    receipt = both.read(text, "site.test", DAY)
    assert receipt is not None
    assert both.read(text + "=", "site.test", DAY) is None
    renewed = both.find(text, "site.test", DAY)
    assert renewed != text
    assert new.read(renewed, "site.test", DAY) == receipt
    assert new.read(text, "site.test", DAY) is None


@pytest.mark.parametrize("tail", ["=", "==", "=\r\nX-Evil: 1", "\n", " ", "!", "=a", "\0"])
def test_a_receipt_has_one_spelling(tail: str) -> None:
    """What a lenient reader of base64 takes for the same is none, and nothing of it is written back."""
    receipts = Receipts(SECRET)
    text = receipts.issue("site.test", "tcf", DAY)
    payload, _, signature = text.rpartition(".")
    for other in (text + tail, payload + tail + "." + signature, payload + "." + signature[:5] + tail + signature[5:]):
        assert receipts.read(other, "site.test", DAY) is None
        assert receipts.find(other, "site.test", DAY) in ("", text)
        assert receipts.find(f"{other}, {text}", "site.test", DAY) == text


def test_spare_bits_of_the_last_character_make_no_second_spelling() -> None:
    """A signature of 32 bytes leaves two of them."""
    receipts = Receipts(SECRET)
    text = receipts.issue("site.test", "tcf", DAY)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    alike = [text[:-1] + character for character in alphabet if character != text[-1]]
    assert [other for other in alike if receipts.read(other, "site.test", DAY)] == []


def test_as_many_receipts_are_read_as_a_beacon_may_name_sites() -> None:
    """Checking a signature takes time: what is listed beyond that is not read."""
    receipts = Receipts(SECRET)
    text = receipts.issue("site.test", "tcf", DAY)
    assert receipts.find(",".join(["x"] * (MOST_RECEIPTS - 1) + [text]), "site.test", DAY) == text
    assert receipts.find(",".join(["x"] * MOST_RECEIPTS + [text]), "site.test", DAY) == ""


def test_a_revoked_receipt_is_no_consent() -> None:
    """Also in a process that only has the marks; they are hashes, from which no receipt can be made."""
    receipts = Receipts(SECRET)
    text, kept = receipts.issue("site.test", "tcf", DAY), receipts.issue("site.test", "tcf", DAY)
    receipt = receipts.read(text, "site.test", DAY)
    assert receipt is not None
    mark = receipt.id_hash
    receipts.revoke([mark])
    assert receipt.number not in mark
    for reader in (receipts, Receipts(SECRET, [mark])):
        assert reader.find(f"{text},{kept}", "site.test", DAY) == kept
        assert reader.is_revoked(receipt)
