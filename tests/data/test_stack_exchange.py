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
