"""The card: written and read, differences named, a broken one refused."""

import dataclasses
import json

import pytest

from codex_jax.checkpoint.card import Card, parse_card

CARD = Card(model={"layers": 2}, step=3, run={"seed": 1}, checksums={"params/a": 7})


def test_what_is_written_is_read():
    assert parse_card(json.dumps(dataclasses.asdict(CARD))) == CARD


def test_a_card_of_an_earlier_version_lacks_fields():
    assert parse_card('{"model": {"layers": 2}}') == Card(model={"layers": 2})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "isn't JSON"),
        ('{"model": {', "isn't JSON"),
        ("[" * 100_000, "isn't JSON"),
        ("[]", "no model"),
        ('{"step": 3}', "no model"),
        ('{"model": 3}', "its card's model is 3"),
        ('{"model": {}, "step": "3"}', "its card's step is '3'"),
        ('{"model": {}, "step": true}', "its card's step is True"),
        ('{"model": {}, "begin_ids": 1}', "its card's begin_ids is 1"),
        ('{"model": {}, "color": 1}', "a field 'color', which this version doesn't know"),
    ],
)
def test_a_broken_card(text, message):
    with pytest.raises(ValueError, match=message):
        parse_card(text)


def test_differences_are_of_settings_alone():
    other = dataclasses.replace(CARD, step=9, checksums={}, run={"seed": 2, "steps": 5})
    assert CARD.differences(other) == ["run.seed: 1, 2", "run.steps: None, 5"]
