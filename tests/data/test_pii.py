"""Addresses and credentials are replaced, code isn't."""

from codex_jax.data.cleaning.pii import redact


def test_secrets_are_replaced_by_their_kind():
    text = (
        'mail = "ann.b@example.co.uk"\n'
        "key = 'AKIAIOSFODNN7EXAMPLE'\n"
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\n"
        "@decorator\nuser@host\na @ b.c\n"
    )
    clean, counts = redact(text)
    assert counts == {"EMAIL": 1, "AWS_KEY": 1, "PRIVATE_KEY": 1}
    assert "<EMAIL>" in clean
    assert "MIIE" not in clean
    assert "AKIA" not in clean
    assert "@decorator\nuser@host\na @ b.c\n" in clean
    assert redact(clean) == (clean, {})
