"""Addresses and credentials are replaced, code isn't."""

import pytest

from codex_jax.data.cleaning.pii import redact

A, D = "abcDEF0123456789", "0123456789"


def test_secrets_are_replaced_by_their_name():
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


@pytest.mark.parametrize(
    ("code", "language"),
    [
        ("y = x@self.weight.data\n", "Python"),
        ("y = x@self.model.name + b\n", "Python"),
        ("y = q@keys.T.to(d)\n", "Python"),
        ("@app.info\ndef f(): pass\n", "Python"),
        ("a = [w@b.live, 1]\n", "Python"),
        ("class A {\n  public@javax.inject.name int x;\n}\n", "Java"),
        ("url = 'git@github.com:a/b.git'\n", "Python"),
        ("url = 'ssh://git@gitlab.com/a/b'\n", "Python"),
        ("# see ann@server.example.com:/home/ann\n", "Python"),
        ("icon = 'logo@2x.png'\n", "Python"),
        ("# x@self.weight.data is a product\n", "Python"),
        ("image = 'docker.io/a@sha256.com(x'\n", "Python"),
        ("version = '4.18.0.372'  # version 10.250.3.99\n", "Python"),
        ("oid = '1.3.6.1.4.1.311.2'\n", "Python"),
        ('#define X509_OID_POLICY_ANY "2.5.29.154"\n', "C"),
        ("hosts = ['127.0.0.1', '10.1.2.200', '192.168.1.1', '0.0.0.0', '8.8.8.8']\n", "Python"),
        ("password = get_password()\npassword = ''\nsecret = 'changeme'\n", "Python"),
        ("password: str = None\nif pwd == other: pass\nkey = 'width'\n", "Python"),
        ("token = '<your token>'\nurl = 'http://user:password@host'\n", "Python"),
        ("x = 'aGVsbG8AKIAIOSFODNN7EXAMPLEx'\n", "Python"),
        ("npm_install_all_of_the_packages_now()\nhvs.a_rather_long_name_of_it = r8_x\n", "Python"),
        ("glc_some_very_long_name_of_a_function_in_c(shpat_x, dapi);\n", "C"),
        ("t = datetime(2023, 1, 1)  # 2023:10:11:12\n", "Python"),
    ],
)
def test_code_that_looks_like_a_secret_stays(code, language):
    assert redact(code, language) == (code, {})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("# by Ann <ann@example.org>", "EMAIL"),
        ('__author__ = "ann.b+c@mail.example.de"', "EMAIL"),
        ("raise Error('write to ann@example.io.')", "EMAIL"),
        (f"t = 'ghp_{A}{A}abcd'", "GITHUB_TOKEN"),
        (f"t = 'github_pat_{A * 4}'", "GITHUB_TOKEN"),
        (f"t = 'glpat-{A}abcd'", "GITLAB_TOKEN"),
        (f"t = 'sk-proj-{A * 2}'", "OPENAI_KEY"),
        (f"t = 'hf_{A}{A}ab'", "HUGGING_FACE_TOKEN"),
        (f"t = 'xoxb-{D}-{D}-{A}'", "SLACK_TOKEN"),
        (f"t = 'sk_live_{A}{A}'", "STRIPE_KEY"),
        (f"t = 'AIza{A}{A}abc'", "GOOGLE_KEY"),
        (f"t = 'SG.{A}abcdef.{A}{A}abcdefghijk'", "SENDGRID_KEY"),
        (f"t = 'eyJ{A}.eyJ{A}.{A}'", "JWT"),
        (f"t = 'npm_{A}{A}abcd'", "NPM_TOKEN"),
        (f"t = 'shpat_{'0a1b' * 8}'", "SHOPIFY_TOKEN"),
        (f"t = 'NRAK-{A.upper()}ABCDEFGHIJK'", "NEW_RELIC_KEY"),
        (f"t = 'dapi{'0a1b' * 8}'", "DATABRICKS_TOKEN"),
        (f"t = 'glsa_{A}{A}_{'0a1b' * 2}'", "GRAFANA_TOKEN"),
        (f"t = 'hvs.{A * 6}'", "VAULT_TOKEN"),
        ("url = 'https://ann:h7gf5d@example.org/x'", "PASSWORD"),
        ("password = 'hunter22'", "PASSWORD"),
        ("config = {'db_password': 'tr0ub4dor'}", "PASSWORD"),
        ('connect(user, passwd="s3cr3t!x")', "PASSWORD"),
        ("API_KEY = '9f8e7d6c5b4a'", "PASSWORD"),
        ("host = '52.94.236.248'", "IP_ADDRESS"),
        ("host = '[2a00:1450:4001:81b::200e]'", "IP_ADDRESS"),
        ("-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----", "PRIVATE_KEY"),
    ],
)
def test_each_name_is_found_and_nothing_else_changes(text, name):
    clean, counts = redact(f"a = 1\n{text}\nb = 2\n", "Python")
    assert counts == {name: 1}
    assert clean.startswith("a = 1\n")
    assert clean.endswith("\nb = 2\n")
    assert f"<{name}>" in clean


def test_a_password_in_another_language():
    assert redact('String password = "hunter22";\n', "Java")[1] == {"PASSWORD": 1}
    assert redact('password := "hunter22"\n', "Go")[1] == {"PASSWORD": 1}
    assert redact("export PASSWORD='hunter22'\n", "Shell")[1] == {"PASSWORD": 1}


def test_a_long_line_and_letters_of_many_bytes_cost_nothing():
    text = "# é日" * 50 + " ann@example.org İ password = 'hunter22' " + "x" * 20_000
    clean, counts = redact(text, "Python")
    assert counts == {"EMAIL": 1}
    assert len(clean) == len(text) - len("ann@example.org") + len("<EMAIL>")
