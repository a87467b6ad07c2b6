"""Questions are matched to the code of their accepted answers."""

from .conftest import read_tree, write_tree

POSTS = """<?xml version="1.0" encoding="utf-8"?>
<posts>
<row Id="1" PostTypeId="1" AcceptedAnswerId="3" Title="Add?" Tags="&lt;python&gt;&lt;math&gt;"
 Body="&lt;p&gt;How do I add &amp;lt;two&amp;gt; numbers?&lt;/p&gt;" />
<row Id="2" PostTypeId="2" ParentId="1" Body="&lt;pre&gt;wrong&lt;/pre&gt;" />
<row Id="3" PostTypeId="2" ParentId="1"
 Body="So: &lt;pre&gt;&lt;code&gt;a + b &amp;gt; 1&lt;/code&gt;&lt;/pre&gt; done" />
<row Id="4" PostTypeId="1" AcceptedAnswerId="5" Title="Cook?" Tags="&lt;food&gt;" Body="x" />
<row Id="5" PostTypeId="2" Body="&lt;pre&gt;y&lt;/pre&gt;" />
"""


def test_questions_are_matched_to_accepted_answers(tmp_path):
    write_tree(
        tmp_path, {"whole/Posts.xml": POSTS + "</posts>", "broken/Posts.xml": POSTS + "<row"}
    )
    good, reasons = read_tree(tmp_path)
    assert sorted(good) == ["broken/Posts.xml#3", "whole/Posts.xml#3"]
    (pair,) = good["whole/Posts.xml#3"].pairs
    assert pair.prose == "Add?\n\nHow do I add <two> numbers?"
    assert pair.code == "a + b > 1"
    assert reasons == {"broken XML": 1}


def test_an_entity_bomb_is_broken_xml(tmp_path):
    entities = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(12))
    bomb = f'<!DOCTYPE p [<!ENTITY e0 "boom">{entities}]><posts><row Id="&e12;"/></posts>'
    write_tree(tmp_path, {"Posts.xml": bomb})
    assert read_tree(tmp_path) == ({}, {"broken XML": 1})


def test_a_broken_row_costs_itself_alone(tmp_path):
    rows = POSTS.splitlines(keepends=True)
    broken = [
        '<row Id="7" Body="\x01" />\n',
        '<row Id="8" Body="no end\n',
        '<row Id="10" Body="&nowhere;" />\n',
    ]
    text = "".join([*rows[:2], *broken[:2], *rows[2:], *broken[2:]]) + "</posts>"
    write_tree(tmp_path, {"Posts.xml": text})
    good, reasons = read_tree(tmp_path)
    assert list(good) == ["Posts.xml#3"]
    assert reasons == {"broken XML": 3}


def test_a_row_beyond_all_limits_and_a_file_without_its_end(tmp_path):
    long_row = f'<row Id="6" Body="{"x" * 200_000}" />\n'
    text = POSTS.replace('<row Id="2"', long_row + '<row Id="2"')
    write_tree(tmp_path, {"a/Posts.xml": text + "</posts>", "b/Posts.xml": POSTS})
    good, reasons = read_tree(tmp_path, max_bytes=10_000)
    assert sorted(good) == ["a/Posts.xml#3", "b/Posts.xml#3"]
    assert reasons == {"too large": 1, "broken XML": 1}


def test_html_that_the_parser_refuses(tmp_path):
    text = POSTS.replace("So: ", "&lt;![x[") + "</posts>"
    write_tree(tmp_path, {"Posts.xml": text})
    assert sum(read_tree(tmp_path)[1].values()) <= 1
