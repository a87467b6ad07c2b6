"""Rows of ours in the exact shapes of MBXP and HumanEval-X, with right and wrong solutions.

Every problem is a function of two integers; `both` returns a list. {f} is its name, {e} its
expression, {t} its result's type; {a} {b} {v} are a test's arguments and expected value, {n} its
number.
"""

import dataclasses

EXPRESSIONS = {"add": "a + b", "subtract_b": "a - b", "product": "a * b", "mixed": "3 * a - b"}
EXPRESSIONS["both"] = ""  # a list of the two
ARGUMENTS = [(2, 3), (7, -1), (0, 10)]
DOC = "Write a function of two numbers."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """The form in which a benchmark writes problems of a language."""

    prefix: str  # of task_ids
    prompt: str
    body: str  # ends the function
    head: str = ""  # of the test
    case: str
    tail: str = ""
    types: tuple[str, str] = ("int", "int[]")
    pair: str = "[a, b]"  # an expression
    value: str = "[{0}, {1}]"  # the list that a test expects
    sigil: str = ""
    extra: dict[str, str] = dataclasses.field(default_factory=dict)


MBXP = {
    "python": Shape(
        prefix="MBPP",
        prompt='\n\ndef {f}(a, b):\n\t"""' + DOC + '\n\t>>> {f}(2, 3)\n\t"""\n',
        body="\treturn {e}\n",
        head="\n\nMETADATA = {{}}\n\n\ndef check(candidate):\n",
        case="    assert candidate({a}, {b}) == {v}\n",
    ),
    "javascript": Shape(
        prefix="MBJSP",
        prompt=f"/**\n * * {DOC}\n */\nfunction {{f}}(a, b) {{{{\n\n",
        body="  return {e};\n}}",
        head='\nconst _ = require("lodash")\n\nfunction compare(object1, object2){{\n'
        "    return _.isEqual(object1, object2)\n}}\n",
        case="\nvar x{n} = {f}({a}, {b});\nvar v{n} = {v};\nif(!compare(x{n}, v{n})){{\n"
        "    throw 'Error at {n}th assert statement. Value = ' + JSON.stringify(x)  \n}}\n",
    ),
    "typescript": Shape(
        prefix="MBTSP",
        prompt=f"/**\n * {DOC}\n */\n"
        "const {f} = function (a: number, b: number) : {t}  {{\n\n",
        body="  return {e};\n}}",
        head="\nimport * as assert from 'assert'\n",
        case="\nlet actual_{n} = {f}({a},{b});\nlet expected_{n} = {v};\n"
        'assert.deepEqual(actual_{n}, expected_{n}, "Exception --- test case {n} failed");\n',
        types=("number", "Array<number>"),
    ),
    "php": Shape(
        prefix="MBPHP",
        prompt=f"<?php\n\n/**\n * {DOC}\n */\nfunction {{f}}($a, $b){{{{\n\n",
        body="    return {e};\n}}",
        head="\n\nfunction compare($x, $y) {{\n    return $x == $y;\n}}\n",
        case="\n$x{n} = {f}({a}, {b});\n$v{n} = {v};\nif (!compare($x{n}, $v{n})) {{\n"
        '    throw new Exception("Error at {n}th assert statement.");\n}}\n',
        pair="[$a, $b]",
        sigil="$",
    ),
    "perl": Shape(
        prefix="MBPLP",
        prompt=f"\n# {DOC}\nsub {{f}}\n{{{{\n  my ($a, $b) = @_;\n\n",
        body="  return {e};\n}}",
        head="\n\nuse Data::Compare;\n\n",
        case="my $x{n} = {f}({a}, {b});\nmy $v{n} = {v};\nunless(Compare($x{n}, $v{n})) {{\n"
        '    die "Exception -- test case {n} did not pass.";\n}}\n',
        pair="[$a, $b]",
        sigil="$",
    ),
    "ruby": Shape(
        prefix="MBRBP",
        prompt=f"\n\n##\n# {DOC}\ndef {{f}}(a, b)",
        body="  return {e}\n\nend\n",
        head="\n",
        case="\nx{n} = {f}({a}, {b})\nv{n} = {v}\nif x{n} != v{n}\n"
        '    raise StandardError, "Error at test case {n}"\nend\n',
    ),
    "go": Shape(
        prefix="MBGP",
        prompt='package main\n\nimport (\n\t"encoding/json"\n\t"reflect"\n)\n// '
        f"{DOC}\nfunc {{f}} (a int, b int) {{t}} {{{{\n\n",
        body="    return {e}\n}}",
        head="\n\nfunc deepCompare(a interface{{}}, b interface{{}}, msg string) bool {{\n"
        "\taJSON, err := json.Marshal(a)\n\tif err != nil {{\n\t\tpanic(msg)\n\t}}\n"
        "\tbJSON, err := json.Marshal(b)\n\tif err != nil {{\n\t\tpanic(msg)\n\t}}\n"
        "\tvar a2 interface{{}}\n\tvar b2 interface{{}}\n"
        "\terr = json.Unmarshal(aJSON, &a2)\n\tif err != nil {{\n\t\tpanic(msg)\n\t}}\n"
        "\terr = json.Unmarshal(bJSON, &b2)\n\tif err != nil {{\n\t\tpanic(msg)\n\t}}\n"
        "\tif reflect.DeepEqual(a2, b2) {{\n\t\treturn true\n\t}} else {{\n\t\tpanic(msg)\n\t}}\n"
        "}}\n\nfunc main() {{\n",
        case="\tactual_{n} := {f}({a},{b})\n\texpected_{n} := {v}\n"
        '\tdeepCompare(actual_{n}, expected_{n}, "Exception --- test case {n} failed to pass")\n\n',
        tail="}}\n",
        types=("int", "[]int"),
        pair="[]int{{a, b}}",
        value="[]int{{{{{0}, {1}}}}}",
    ),
    "java": Shape(
        prefix="MBJP",
        prompt="import java.io.*;\nimport java.lang.*;\nimport java.util.*;\n"
        "import java.math.*;\n\n\n"
        f"class Solution {{{{\n    /**\n     * * {DOC}\n     */\n"
        "    public static {t} {f}(int a, int b) {{\n\n",
        body="        return {e};\n    }}\n}}",
        head="\n\nclass Main {{\n    public static boolean compare(Object x, Object y) {{\n"
        "        return x.equals(y);\n    }}\n\n"
        "    public static void main(String[] args) throws Exception {{\n",
        case="        {t} x{n} = Solution.{f}({a}, {b});\n        {t} v{n} = {v};\n"
        "        if (!(compare(x{n}, v{n}))) {{\n            throw new java.lang.Exception("
        '"Exception -- test case {n} did not pass. x{n} = " + x{n});\n        }}\n\n',
        tail="\n}}\n}}\n",
        types=("Integer", "List<Integer>"),
        pair="Arrays.asList(a, b)",
        value="Arrays.asList({0}, {1})",
    ),
    "cpp": Shape(
        prefix="MBCPP",
        prompt="#include <bits/stdc++.h>\nusing namespace std;\n\n\n/**\n * "
        f"{DOC}\n */\n{{t}} {{f}}(int a, int b) {{{{\n",
        body="  return {e};\n}}",
        head="\ntemplate <typename T> bool compare(T a, T b){{ \n    return a == b; \n}}\n\n"
        "int main(int argc, char* argv[]) {{\n",
        case="    {t} x{n} = {f}({a}, {b});\n    if (!(compare(x{n}, {t}({v})))) {{\n"
        '        throw runtime_error("Exception -- test case {n} did not pass.");\n    }}\n\n',
        tail="    return 0;\n}}",
        types=("int", "vector<int>"),
        pair="{{a, b}}",
        value="{{{{{0}, {1}}}}}",
    ),
    "csharp": Shape(
        prefix="MBCSP",
        prompt="using System;\nusing System.Collections.Generic;\nusing System.Linq;\n"
        "using System.Text.RegularExpressions;\nusing KellermanSoftware.CompareNetObjects;\n\n"
        "namespace Solution\n{{\n    public class Program\n    {{\n        /// <summary> \n"
        f"        /// {DOC}\n        /// </summary>\n"
        "        public static {t} {f} (int a, int b) \n        {{\n",
        body="            return {e};\n        }}",
        head="\n\n        public static void Main(string[] args)\n        {{\n"
        "            CompareLogic compareLogic = new CompareLogic();\n",
        case="            var actual{n} = {f}({a},{b});\n            var expected{n} = {v};\n"
        "            var result{n} = compareLogic.Compare(actual{n}, expected{n});\n"
        "            if (!result{n}.AreEqual) {{throw new Exception("
        '"Exception --- test case {n} failed to pass");}}\n\n',
        tail="        }}\n    }}\n}}\n",
        types=("int", "List<int>"),
        pair="new List<int> {{a, b}}",
        value="new List<int> {{{{{0},{1}}}}}",
    ),
    "scala": Shape(
        prefix="MBSCP",
        prompt=f"object Main extends App {{{{\n    /**\n     * * {DOC}\n     */\n"
        "    def {f}(a : Int, b : Int) : {t} = {{\n\n",
        body="        {e}\n    }}\n",
        head="\n\n",
        case="    var x{n} : {t} = {f}({a}, {b})\n    var v{n} : {t} = {v}\n"
        '    assert(x{n} == v{n}, "Exception -- test case {n} did not pass. x{n} = " + x{n})\n\n',
        tail="\n}}\n",
        types=("Int", "List[Int]"),
        pair="List(a, b)",
        value="List({0}, {1})",
    ),
}
HUMANEVAL_X = {
    "python": Shape(
        prefix="Python",
        prompt='def {f}(a: int, b: int):\n    """' + DOC + '\n    """\n',
        body="    return functools.reduce(lambda x, y: y, [None, {e}])\n",
        head="\n\n\nMETADATA = {{}}\n\n\ndef check({f}):\n",
        case="    assert {f}({a}, {b}) == {v}\n",
        tail="\ncheck({f})\n",
    ),
    "javascript": Shape(
        prefix="JavaScript",
        prompt=f"/* {DOC}\n  */\nconst {{f}} = (a, b) => {{{{\n",
        body="  return {e};\n}}\n\n",
        head="const testAll = () => {{\n",
        case="  console.assert(JSON.stringify({f}({a}, {b})) === JSON.stringify({v}))\n",
        tail="}}\n\ntestAll()\n",
    ),
    "cpp": Shape(
        prefix="CPP",
        prompt=f"/*\n{DOC}\n*/\n#include<stdio.h>\nusing namespace std;\n"
        "{t} {f}(int a,int b){{\n",
        body="    return {e};\n}}\n",
        head="#undef NDEBUG\n#include<assert.h>\nint main(){{\n",
        case="    assert ({f}({a}, {b}) == ({t}({v})));\n",
        tail="}}\n",
        types=("int", "vector<int>"),  # which the helpers include
        pair="{{a, b}}",
        value="{{{{{0}, {1}}}}}",
    ),
    "java": Shape(
        prefix="Java",
        prompt="import java.util.*;\nimport java.lang.*;\n\nclass Solution {{\n"
        f"    /**\n    {DOC}\n     */\n    public {{t}} {{f}}(int a, int b) {{{{\n",
        body="        return {e};\n    }}\n}}",
        head="public class Main {{\n    public static void main(String[] args) {{\n"
        "        Solution s = new Solution();\n"
        "        List<Boolean> correct = Arrays.asList(true\n",
        case="                , s.{f}({a}, {b}).equals({v})\n",
        tail="        );\n        if (correct.contains(false)) {{\n"
        "            throw new AssertionError();\n        }}\n    }}\n}}\n",
        types=("Integer", "List<Integer>"),
        pair="Arrays.asList(a, b)",
        value="Arrays.asList({0}, {1})",
    ),
    "go": Shape(
        prefix="Go",
        prompt='import (\n    "math"\n)\n\n// ' + DOC + "\nfunc {f}(a int, b int) {t} {{\n",
        body="    _ = strings.Repeat(strconv.Itoa(a), 2)\n"
        "    _ = math.Abs(1.5)\n    return {e}\n}}\n\n",
        head="func TestAll(t *testing.T) {{\n    assert := assert.New(t)\n",
        case="    assert.Equal({v}, {f}({a}, {b}))\n",
        tail="}}\n",
        types=("int", "[]int"),
        pair="[]int{{a, b}}",
        value="[]int{{{{{0}, {1}}}}}",
        extra={
            "import": 'import (\n    "math"\n)\n',
            "test_setup": 'package main\n\nimport (\n    "testing"\n    "math"\n'
            '    "github.com/stretchr/testify/assert"\n)\n',
        },
    ),
    "rust": Shape(
        prefix="Rust",
        prompt=f"\n/*\n {DOC}\n*/\n",
        body="\n    return {e};\n}}\n",
        head="\n#[cfg(test)]\nmod tests {{\n    use super::*;\n\n#[test]\n    fn test_all() {{\n",
        case="        assert_eq!({f}({a}, {b}), {v});\n",
        tail="    }}\n\n}}\n",
        types=("i32", "Vec<i32>"),
        pair="vec![a, b]",
        value="vec![{0}, {1}]",
        extra={
            "declaration": "\nuse std::{{slice::Iter, cmp::{{max, self}}, mem::replace}};\n"
            "use rand::Rng;\nuse regex::Regex;\nuse md5;\nuse std::any::{{Any, TypeId}};\n\n"
            "fn {f}(a:i32, b:i32) -> {t}{{\n"
        },
    ),
}


def rows(shape: Shape, language: str = "") -> list[dict]:
    """Five problems; `language` is in MBXP's rows. Their canonical solutions are right."""
    return [_row(shape, name, language) for name in EXPRESSIONS]


def _row(shape: Shape, name: str, language: str) -> dict:
    fields = {"f": name, "e": solution(shape, name, 0), "t": shape.types[name == "both"]}
    cases = [
        shape.case.format(a=a, b=b, n=n, v=_value(shape, name, a, b), **fields)
        for n, (a, b) in enumerate(ARGUMENTS)
    ]
    number = [*EXPRESSIONS].index(name)
    row = {
        "task_id": f"{shape.prefix}/{number}",
        "prompt": shape.prompt.format(**fields),
        "test": shape.head.format(**fields) + "".join(cases) + shape.tail.format(**fields),
        "canonical_solution": body(shape, name, 0),
    }
    row |= {key: value.format(**fields) for key, value in shape.extra.items()}
    if language:
        row |= {"language": language, "description": DOC, "entry_point": name}
    return row


def _value(shape: Shape, name: str, a: int, b: int) -> str:
    if name == "both":
        return shape.value.format(a, b).replace("{{", "{").replace("}}", "}")
    return str(eval(EXPRESSIONS[name], {"a": a, "b": b}))


def solution(shape: Shape, name: str, variant: int) -> str:
    """An expression: the right one for variant 0, else a wrong one."""
    if name == "both":
        text = shape.pair.replace("{{", "{").replace("}}", "}")
        return [text, text.replace("b", "a"), text.replace("a,", f"a + {shape.sigil}b,")][variant]
    text = [EXPRESSIONS[name], "b - a", "a + b + 1"][variant]
    return text.replace("a", f"{shape.sigil}a").replace("b", f"{shape.sigil}b")


def body(shape: Shape, name: str, variant: int) -> str:
    """A completion of the problem: the right one for variant 0, else a wrong one."""
    return shape.body.format(e=solution(shape, name, variant))
