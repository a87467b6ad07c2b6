"""Programs that read standard input, rewritten as a function from its text to their output."""

import ast

ENTRY_POINT = "solve"
_EXITS = ("exit", "quit")
_REFUSED = ("exec", "eval", "globals", "locals", "open", "compile", "__import__", "breakpoint")


class UnsupportedProgramError(Exception):
    """The program does something that a function can't."""


def to_function(program: str, statement: str = "") -> str:
    """Returns `def solve(text: str) -> str` that prints as the program does, into its result.

    Raises:
      UnsupportedProgramError: the program isn't Python 3, or leaves from within a function.
    """
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise UnsupportedProgramError(f"not Python 3: {error}") from None
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    rewriter = _Rewriter({name: _unused(name, names) for name in ("stdin", "stdout", "read_line")})
    rewriter.binds_input = any(
        isinstance(node, ast.Name) and node.id == "input" and isinstance(node.ctx, ast.Store)
        for node in ast.walk(tree)
    )
    body = rewriter.rewrite(tree.body)
    head = _head(rewriter)
    docstring = [ast.Expr(ast.Constant(_docstring(statement)))] if statement else []
    lines = [*map(ast.unparse, rewriter.hoisted)]
    function = ast.parse(f"def {ENTRY_POINT}(text: str) -> str:\n    pass\n").body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = [*docstring, *ast.parse(head).body, *body, rewriter.leave()]
    lines.append(ast.unparse(ast.fix_missing_locations(function)))
    return "\n".join(lines) + "\n"


def _docstring(statement: str) -> str:
    text = statement.strip().replace("\r\n", "\n").replace("\n", "\n    ")
    return f"{text}\n    "


def _unused(name: str, names: set[str]) -> str:
    while name in names:
        name += "_"
    return name


def _head(rewriter: "_Rewriter") -> str:
    stdin, stdout = rewriter.names["stdin"], rewriter.names["stdout"]
    head = f"import io\n{stdin}, {stdout} = io.StringIO(text), io.StringIO()\n"
    if rewriter.reads_lines:
        head += f"""
def {rewriter.names["read_line"]}(*_):
    line = {stdin}.readline()
    if not line:
        raise EOFError
    return line.rstrip("\\n")
"""
    return head


class _Rewriter(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]):
        self.names = names
        self.hoisted: list[ast.stmt] = []  # must stand at the top level
        self.reads_lines = self.binds_input = False
        self._depth = 0  # of functions around a node

    def rewrite(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Returns the statements of a function that does what the program does."""
        statements: list[ast.stmt] = []
        for node in body:
            rewritten = self.visit(node)
            parts = rewritten if isinstance(rewritten, list) else [rewritten]
            statements += [part for part in parts if part is not None]
        return statements

    def leave(self) -> ast.Return:
        """Returns the statement that ends the function with the program's output."""
        value = ast.parse(f"{self.names['stdout']}.getvalue()", mode="eval").body
        return ast.Return(value)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        """Hoists what a function can't import."""
        if node.module == "sys" and {a.name for a in node.names} & {"stdin", "stdout", "exit"}:
            raise UnsupportedProgramError("imports a stream by its name")
        if any(alias.name == "*" for alias in node.names) or node.module == "__future__":
            self.hoisted.append(node)
            return None
        return node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """Replaces `if __name__ == "__main__"` by its body."""
        if "__name__" in {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}:
            return self.rewrite(node.body)
        return self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> ast.AST | None:
        """Globals of the program are locals of the function around."""
        return ast.Nonlocal(node.names) if self._depth else None

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Counts the depth of what is in a function."""
        self._depth += 1
        rewritten = self.generic_visit(node)
        self._depth -= 1
        return rewritten

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """Replaces a call that leaves the program."""
        call = node.value
        if isinstance(call, ast.Call) and _dotted(call.func) in (*_EXITS, "sys.exit", "os._exit"):
            if self._depth:
                raise UnsupportedProgramError("leaves from within a function")
            return self.leave()
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Directs prints to the output, and opened standard input to the text."""
        name = _dotted(node.func)
        if name == "print" and not any(keyword.arg == "file" for keyword in node.keywords):
            stdout = ast.Name(self.names["stdout"], ast.Load())
            node.keywords.append(ast.keyword("file", stdout))
        if name == "open" and node.args and getattr(node.args[0], "value", None) == 0:
            return ast.Name(self.names["stdin"], ast.Load())
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Replaces the standard streams."""
        name = _dotted(node)
        if name in ("sys.stdin", "sys.stdout"):
            return ast.Name(self.names[node.attr], node.ctx)
        if name in ("sys.stdin.buffer", "sys.stdout.buffer", "sys.exit"):
            raise UnsupportedProgramError(name)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Replaces `input`, and refuses what reaches outside."""
        if node.id in _REFUSED:
            raise UnsupportedProgramError(node.id)
        if node.id == "input" and not self.binds_input:
            self.reads_lines = True
            return ast.Name(self.names["read_line"], node.ctx)
        return node


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
