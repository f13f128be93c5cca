"""Check docstrings, comments and Markdown for wording that the rules of English in CONTRIBUTING.md rule out.

Only wording that a pattern recognises without doubt is reported; a reviewer judges the rest.
"""

import argparse
import ast
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
CHECKED_PATHS = (
    "README.md",
    "CONTRIBUTING.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "docs",
    "scripts",
    "schemas",
    "detector",
    "jobs",
    "plumbline",
    "alembic",
    "benchmarks",
    "tests",
)
GENERATED = ROOT / "docs" / "reference"  # by `make docs`, from the code
COUNTED_WORDS = ("where", "if", "when")

# Nouns and verbs after which "where" names a place.
PLACE = (
    "address|beginning|boundary|cell|column|database|directory|document|end|field|file|folder|line|machine|module|page|"
    "parts?|place|point|position|row|section|spot|table|tree|from|know|knows|of|remember|see|show|shows|to"
)
QUESTIONS = "how|that|what|whether|which|why"
CODE = re.compile(r"`[^`\n]+`")
VERBS = "are|does|had|has|have|is|was|were"


class Rule(NamedTuple):
    """A pattern of wording to avoid, with the advice for a writer."""

    pattern: re.Pattern[str]
    advice: str


class Block(NamedTuple):
    """Consecutive lines of prose, and the number of the first line."""

    line: int
    text: str


class Problem(NamedTuple):
    """Wording that a rule recognised."""

    line: int
    words: str
    advice: str


def rule(pattern: str, advice: str) -> Rule:
    """Return a rule whose spaces match line ends too."""
    return Rule(re.compile(pattern.replace(" ", r"\s"), re.IGNORECASE | re.MULTILINE), advice)


CONDITION = "a condition is 'if' or 'when'; 'where' is for places"
AGENT = "functions return, raise, report, record or request"
RULES = (
    rule(rf"(?:^|(?<=[^\w\s] )|\b(?!(?:{PLACE})\b)\w+ )where (?:it|there|they) (?:{VERBS})\b(?! ?[.;,)])", CONDITION),
    rule(rf"(?:^|(?<=[.;:(] ))where (?:the|an?|no|all|any|its) (?:\w+ ){{1,3}}(?:{VERBS})\b(?! ?[.;,)])", CONDITION),
    rule(r"(?:^|(?<=[.:;] ))where [^.:;(),]{3,80}, (?!and\b|for\b|in\b|or\b)", CONDITION),
    rule(r"(?:\b(?:only|none|empty|except|even|but|nan|null|infinite|true|false)|(?<!\w)\d) where\b", CONDITION),
    rule(r"\b(?:fail|raise|refuse|stop|warn)s? where\b|\b(?-i:[A-Z])\w+: where\b", CONDITION),
    rule(r"\bwhere (?:absent|empty|given|known|missing|needed|null|set|unset)\b", CONDITION),
    rule(rf"\bsa(?:ys|id)? (?:{QUESTIONS}|for|of|so)\b", AGENT),
    rule(r"\b(?:tells|told)\b(?! apart)", AGENT),
    rule(rf"\btell (?:{QUESTIONS}|if)\b", AGENT),
    rule(rf"\basks (?:{QUESTIONS}|for|the)\b", AGENT),
    rule(rf"\bknows (?:{QUESTIONS}|no|nothing|of|where)\b", AGENT),
    rule(r"(?<!who )(?<!whoever )\bwants\b", AGENT),
    rule(r"\bany more(?= ?[.,;:)]| ?$)", "write 'no longer'"),
    rule(r"\banew\b", "write 'again', or the verb with 're-'"),
    rule(r"\bbeside\b", "write 'next to', 'compared with' or 'in addition to'"),
    rule(r"\bof (?:each|these|those)(?= ?[.,;:)]| ?$)", "name the thing: a noun after 'of'"),
    rule(r"\bwhat (?:was|were|is|it|they) (?:found|told|wanted)\b", "name the thing that it holds"),
)


def docstrings(source: str) -> Iterator[Block]:
    """Yield the docstrings of a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str() as text) as value), *_]:
                    yield Block(value.lineno, text)


def comments(source: str) -> Iterator[Block]:
    """Yield the comments of a module; those on consecutive lines are one block."""
    lines: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if lines and token.start[0] != last + 1:
                yield Block(last - len(lines) + 1, "\n".join(lines))
                lines = []
            lines.append(token.string.lstrip("#").strip())
            last = token.start[0]
    if lines:
        yield Block(last - len(lines) + 1, "\n".join(lines))


def paragraphs(source: str) -> Iterator[Block]:
    """Yield the lines of a Markdown document outside fenced code."""
    in_code = False
    for number, line in enumerate(source.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code:
            yield Block(number, line)


def blocks_of(path: Path) -> list[Block]:
    """Return the prose of a file, its inline code replaced by a neutral word."""
    source = path.read_text(encoding="utf-8")
    blocks = [*docstrings(source), *comments(source)] if path.suffix == ".py" else paragraphs(source)
    return [Block(block.line, re.sub(r"[ \t]*\n[ \t]*", "\n", CODE.sub("CODE", block.text))) for block in blocks]


def problems_of(block: Block) -> Iterator[Problem]:
    """Yield the wording of a block that a rule recognises, each passage once."""
    matches = [(match, advice) for pattern, advice in RULES for match in pattern.finditer(block.text)]
    end = 0
    for match, advice in sorted(matches, key=lambda item: item[0].span()):
        if match.start() >= end:
            line = block.line + block.text.count("\n", 0, match.start())
            yield Problem(line, " ".join(match[0].split()), advice)
            end = match.end()


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the Python and Markdown files among paths and in their folders."""
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in {".md", ".py"} and GENERATED not in file.parents:
                yield file


def rates(blocks: Iterable[Block]) -> str:
    """Return how often the counted words occur per 1,000 words."""
    words = [word for block in blocks for word in re.findall(r"[a-z']+", block.text.lower())]
    shares = (f"{word} {1000 * words.count(word) / max(len(words), 1):.1f}" for word in COUNTED_WORDS)
    return f"{len(words)} words; per 1,000: {', '.join(shares)}"


def main() -> int:
    """Report the problems of the checked files; return 1 if there are any."""
    parser = argparse.ArgumentParser(description="Check docstrings, comments and Markdown for the rules of English.")
    parser.add_argument("paths", nargs="*", type=Path, help="files and folders; the configured ones if none are given")
    parser.add_argument("--stats", action="store_true", help="print word counts of docstrings and comments")
    options = parser.parse_args()
    blocks = {path: blocks_of(path) for path in files_in(options.paths or [ROOT / name for name in CHECKED_PATHS])}
    report = [
        f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{line}: {words!r}: {advice}"
        for path, of_path in blocks.items()
        for line, words, advice in sorted(problem for block in of_path for problem in problems_of(block))
    ]
    sys.stdout.writelines(f"{line}\n" for line in report)
    if options.stats:
        sys.stdout.write(rates(block for path in blocks if path.suffix == ".py" for block in blocks[path]) + "\n")
    return 1 if report else 0


if __name__ == "__main__":
    sys.exit(main())
