"""Chat templates as model makers write them, and as they shouldn't."""

import pytest

from codex_jax import InputError
from codex_jax.sample.serve.chat_template import ChatTemplate
from tests.sample.server import ByteTokenizer

CHATML = """{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{% endif %}
"""
USER = [{"role": "user", "content": "hi"}]


def render(template, messages=USER, **settings):
    return ChatTemplate(ByteTokenizer({"chat_template": template} | settings)).render(messages)


def test_chatml():
    system = {"role": "system", "content": "be brief"}
    text = render(
        "{% for message in messages %}" + CHATML.split("\n")[1] + "{% endfor %}", [system]
    )
    assert text == "<|im_start|>system\nbe brief<|im_end|>\n"
    assert render(CHATML).endswith("<|im_start|>assistant\n\n")  # a block's own newline goes


def test_special_tokens_are_names_in_the_template():
    template = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"
    tokens = {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False}}
    assert render(template, **tokens) == "<s>hi</s>"


def test_the_default_one_of_several_is_used():
    templates = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]
    assert render(templates) == "yes"


def test_what_transformers_adds_is_there():
    assert render("{{ messages | tojson }}") == '[{"role": "user", "content": "hi"}]'
    assert render("{{ strftime_now('%Y') }}").isdigit()
    assert render("{% for n in range(9) %}{% if n == 2 %}{% break %}{% endif %}{{ n }}{% endfor %}")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}", "hi"),
        ("a\n{% generation %}\nb\n{% endgeneration %}\nc", "a\nb\nc"),
        (
            "{% for m in messages %}{%- generation -%} {{ m.role }}{% if m.content %}!{% endif %}"
            "{%- endgeneration %}{% endfor %}",
            "user!",
        ),
    ],
)
def test_marks_of_what_a_model_is_trained_on_are_no_text(template, text):
    assert render(template) == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "has no chat template"),
        ("", "has no chat template"),
        ([{"name": "rag", "template": "x"}], "has no chat template"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{% if %}", "refuses these"),
        ("{% generation %}x", "refuses these"),
        ("x{% endgeneration %}", "refuses these"),
        ("{{ messages[7].content.x }}", "refuses these"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{% include '/etc/passwd' %}", "refuses these"),
        ("{{ range(10000000) | list }}", "Range too big"),
    ],
)
def test_what_cannot_be_rendered_is_one_line(template, message):
    with pytest.raises(InputError, match=message) as error:
        render(template)
    assert "\n" not in str(error.value)
