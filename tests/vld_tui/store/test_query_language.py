from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.protocol import FIELDS, resolve_spec
from tests.vld_tui.store.told_runs import Teller
from vld_tui.home import Home, open_home
from vld_tui.store.completion import finished_part
from vld_tui.store.errors import QueryError
from vld_tui.store.fields import ALIASES, QUERY_FIELDS, is_field
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.store.terms import Joined, Not, Term, Tree, parse_terms
from vld_tui.views.run_columns import RUN_COLUMNS

RUNS: tuple[tuple[str, tuple[str, ...], dict[str, object]], ...] = (
    (
        "alpha",
        ("best", "a%b"),
        {"dropout_rate": 0.9, "seed": 1, "lr": 0.01, "objective": "vrex+coral"},
    ),
    ("beta", ("bestest",), {"dropout_rate": 0.0, "seed": 2, "masks": 1, "grad_clip": 1.0}),
    (
        "gamma ray",
        (),
        {
            "dropout_rate": 0.95,
            "seed": 3,
            "target": "noto",
            "optimizer": "adamw",
            "masks": "inf",
        },
    ),
    ("finished", ("best",), {"dropout_rate": 0.5, "seed": 4, "dataset": "pacs", "target": "photo"}),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    home = open_home(tmp_path_factory.mktemp("queries"))
    with Store.open(home) as store:
        for name, tags, fields in RUNS:
            run = store.runs.create(
                resolve_spec({"dataset": "emoji", **fields}), name=name, tags=tags
            )
            if name == "finished":
                Teller(home.run_dir(run.run_id)).finishes()
                store.labels.set_note(run.run_id, "Über alles: 100% of it")
        store.live.refresh()
        yield store


def _names(store: Store, text: str, sort: str | None = "name") -> list[str]:
    return [run.name for run in store.runs.find(Query.parse(text, sort=sort))]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["alpha", "beta", "finished", "gamma ray"]),
        ("dropout>=0.9", ["alpha", "gamma ray"]),
        ("λ>=0.9", ["alpha", "gamma ray"]),
        ("seed>1 and not λ < 0.9", ["gamma ray"]),
        ("dropout=0.9", ["alpha"]),
        ("dropout:0.9", ["alpha"]),
        ("dropout!=0.9 dropout<0.95", ["beta", "finished"]),
        ("DROPOUT-RATE<=0.5", ["beta", "finished"]),
        ("lr=1e-2", ["alpha"]),
        ("masks=1", ["beta"]),
        ("masks=inf", ["gamma ray"]),
        ("masks:1,inf", ["beta", "gamma ray"]),
        ("masks!=inf", ["alpha", "beta", "finished"]),
        ("masks>8", ["gamma ray"]),
        ("masks<=8", ["alpha", "beta", "finished"]),
        ("seed>1 seed<4", ["beta", "gamma ray"]),
        ("objective:vrex", ["alpha"]),
        ("objective:vrex+coral", ["alpha"]),
        ("objective:vrex+mixup", []),
        ("objective:coral,erm", ["alpha", "beta", "finished", "gamma ray"]),
        ("objective=vrex", []),
        ("objective=vrex+coral", ["alpha"]),
        ("objective!=erm", ["alpha"]),
        ("dataset=emoji", ["alpha", "beta", "gamma ray"]),
        ("dataset=emo", []),
        ("dataset:emo", ["alpha", "beta", "gamma ray"]),
        ("dataset!=emoji", ["finished"]),
        ("target=noto", ["gamma ray"]),
        ("optimizer:adamw target:NOT", ["gamma ray"]),
        ("tag:best", ["alpha", "finished"]),
        ("tag=best tag!=a%b", ["finished"]),
        ("tags=", ["gamma ray"]),
        ("status:finished", ["finished"]),
        ("status!=finished", ["alpha", "beta", "gamma ray"]),
        ("ood>=0.5", ["finished"]),
        ("ood>=50% id<=80%", ["finished"]),
        ("ood=none", ["alpha", "beta", "gamma ray"]),
        ("ood!=none", ["finished"]),
        ("grad_clip=none", ["alpha", "finished", "gamma ray"]),
        ("precision=bf16", ["finished"]),
        ("precision=auto", ["alpha", "beta", "gamma ray"]),
        ("device=cpu", ["finished"]),
        ("collapsed=no", ["alpha", "beta", "finished", "gamma ray"]),
        ("freeze_batchnorm=false", []),
        ("attempts=1 step=20", ["finished"]),
        ("gamma", ["gamma ray"]),
        ('"gamma ray"', ["gamma ray"]),
        ('name="gamma ray"', ["gamma ray"]),
        ('"a=b"', []),
        ("BEST", ["alpha", "beta", "finished"]),
        ("a%b", ["alpha"]),
        ("a_b", []),
        ("%", ["alpha", "finished"]),
        ("Über", ["finished"]),
        ("note:100%", ["finished"]),
        ("created>=2020-01-01 created<9000-01-01T10:00 seed=1", ["alpha"]),
        ("created<2020-01-01", []),
        # spaces around an operator, other spellings of it, both kinds of quotes
        ("dropout >= 0.9", ["alpha", "gamma ray"]),
        ("dropout >=0.9 seed= 1", ["alpha"]),
        ("seed == 1", ["alpha"]),
        ("'gamma ray'", ["gamma ray"]),
        ("name = 'gamma ray'", ["gamma ray"]),
        ("tags= seed=3", ["gamma ray"]),
        # and, or, not, parentheses
        ("seed=1 or seed=2", ["alpha", "beta"]),
        ("seed=1 OR seed=2 AND masks=1", ["alpha", "beta"]),
        ("(seed=1 or seed=2) masks=1", ["beta"]),
        ("(seed=1)", ["alpha"]),
        ("((seed=1)or(seed=4))", ["alpha", "finished"]),
        ("not status:finished", ["alpha", "beta", "gamma ray"]),
        ("-status:finished -seed=1", ["beta", "gamma ray"]),
        ("not (seed=1 or seed=2)", ["finished", "gamma ray"]),
        ("-(seed=1 or seed=2)", ["finished", "gamma ray"]),
        ("not not seed=1", ["alpha"]),
        ("not ood>=0.5", ["alpha", "beta", "gamma ray"]),
        ("not best", ["gamma ray"]),
        ("-name:'a r' dropout>=0.9", ["alpha"]),
        # regular expressions
        ("name~^a", ["alpha"]),
        ("name~ALPHA|beta", ["alpha", "beta"]),
        ("name~^(alpha|beta)$", ["alpha", "beta"]),
        ("(name~^(alpha|beta)$)", ["alpha", "beta"]),
        ("name!~^a", ["beta", "finished", "gamma ray"]),
        ("name =~ ^a", ["alpha"]),
        ("tag~^best$", ["alpha", "finished"]),
        ("status~^fin", ["finished"]),
        # signs for or, and, not; several values of one field
        ("seed=1 | seed=2", ["alpha", "beta"]),
        ("seed=1|seed=2", ["alpha", "beta"]),
        ("seed=1 || seed=2 && masks=1", ["alpha", "beta"]),
        ("seed=1|2", ["alpha", "beta"]),
        ("optimizer=adamw|sgd seed=3|4", ["finished", "gamma ray"]),
        ("name!=alpha|beta", ["finished", "gamma ray"]),
        ("name='gamma ray'|beta seed=3", ["gamma ray"]),
        ("(seed=1|2) & !beta", ["alpha"]),
        ("alpha|beta", ["alpha", "beta"]),
        ("!alpha", ["beta", "finished", "gamma ray"]),
        ("!seed=1 !(seed=2|seed=3)", ["finished"]),
        ("! alpha", ["beta", "finished", "gamma ray"]),
        ("tag= | seed=1", ["alpha", "gamma ray"]),
        # regular expressions between slashes
        ("/^gam+a r/", ["gamma ray"]),
        ("!/^(alpha|beta)$/", ["finished", "gamma ray"]),
        ("(/^alpha$/|/^beta$/)", ["alpha", "beta"]),
        ("/alles: 1.0%/", ["finished"]),
        ("name:/^A/", ["alpha"]),
        ("name~/a r|ph/", ["alpha", "gamma ray"]),
        ("name!~/a r|ph/", ["beta", "finished"]),
        ("name~(?-i:^A)", []),
        ("name=/^a/", []),
        ("name~(a|b)*c", []),
        # case is ignored by = and : alike
        ("dataset=EMOJI target!=NOTO", ["alpha", "beta"]),
        ("name=ALPHA|Gam*", ["alpha", "gamma ray"]),
        ("tag=BEST", ["alpha", "finished"]),
        ("tag=BEST*", ["alpha", "beta", "finished"]),
        ("status=Finished", ["finished"]),
        ("status:fin", ["finished"]),
        ("optimizer:ADAM seed=3", ["gamma ray"]),
        ("note='ÜBER ALLES: 100% of it'", ["finished"]),
        ("note:über", ["finished"]),
        ("ÜBER", ["finished"]),
        # other signs of operators, headings of columns
        ("λ≥0.9 seed ≠ 1", ["gamma ray"]),
        ("lambda>=0.9", ["alpha", "gamma ray"]),
        ("Λ>=90%", ["alpha", "gamma ray"]),
        ("OOD−ID<0 | gap>=0", ["finished"]),
        ("progress>0", ["finished"]),
        ("worst>=0", ["finished"]),
        ("age<1y", ["alpha", "beta", "finished", "gamma ray"]),
        # wildcards, ranges, lists
        ("target=no*", ["gamma ray"]),
        ("name=*a", ["alpha", "beta"]),
        ("name='*a'", []),
        ("name!=*a", ["finished", "gamma ray"]),
        ("tag=best*", ["alpha", "beta", "finished"]),
        ("tag=*b", ["alpha"]),
        ("status:fin*", ["finished"]),
        ("g*ray", ["gamma ray"]),
        ("seed=2..3", ["beta", "gamma ray"]),
        ("seed=..2", ["alpha", "beta"]),
        ("seed!=2..", ["alpha"]),
        ("seed=1,3", ["alpha", "gamma ray"]),
        ("status=finished,stopped", ["finished"]),
        ("ood=50%..90%", ["finished"]),
        ("created=2020-01-01..9000-01-01 seed=1", ["alpha"]),
        ("created=2020-01-01", []),
        # other names, flags alone, times
        ("data:pacs", ["finished"]),
        ("keep=all", ["alpha", "beta", "finished", "gamma ray"]),
        ("arms=averaged", []),
        ("arms=", ["alpha", "beta", "finished", "gamma ray"]),
        ("collapsed", []),
        ("not collapsed seed=1", ["alpha"]),
        ("age<1h", ["alpha", "beta", "finished", "gamma ray"]),
        ("age>1h30m", []),
        ("age<=2d seed=1", ["alpha"]),
        ("error=none seed=1", ["alpha"]),
        ("emoji", ["alpha", "beta", "gamma ray"]),
        ("photo", ["finished"]),
    ],
)  # fmt: skip
def test_a_query_keeps_what_matches(store: Store, text: str, names: list[str]) -> None:
    assert _names(store, text) == names


def test_a_run_is_found_by_its_id(store: Store) -> None:
    run = store.runs.get("alpha")
    assert _names(store, f"run={run.run_id}") == ["alpha"]
    assert _names(store, run.run_id[-4:])[0] == "alpha"


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        (None, ["finished", "gamma ray", "beta", "alpha"]),
        ("name", ["alpha", "beta", "finished", "gamma ray"]),
        ("-name", ["gamma ray", "finished", "beta", "alpha"]),
        ("-dropout", ["gamma ray", "alpha", "finished", "beta"]),
        ("dataset,-seed", ["gamma ray", "beta", "alpha", "finished"]),
        ("ood", ["finished", "gamma ray", "beta", "alpha"]),
        ("-ood", ["finished", "gamma ray", "beta", "alpha"]),
        ("created", ["alpha", "beta", "gamma ray", "finished"]),
        ("masks", ["beta", "finished", "alpha", "gamma ray"]),
    ],
)
def test_runs_are_sorted_and_the_unknown_comes_last(
    store: Store, sort: str | None, names: list[str]
) -> None:
    assert _names(store, "", sort) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("droput=0.9", "No field 'droput' to filter by. Did you mean dropout"),
        ("zzzzzz=1", "No field 'zzzzzz' to filter by. List fields with: vld ls --fields"),
        ("ood>30", "from 0 to 1 or a percentage: write 30%, not 30"),
        ("masks=many", "masks is 'many', but must be a number or inf"),
        ("seed=inf", "seed is 'inf', but must be a number"),
        ("masks>none", "masks is 'none', but must be a number"),
        ("masks=nan", "must be a number"),
        ("masks=1e999", "must be a number"),
        ("masks=", "masks is '', but must be a number"),
        ("status:runing", "must be one of queued, starting, running, .* Did you mean running"),
        ("optimizer=adam", "Did you mean adamw"),
        ("collapsed=maybe", "must be true or false"),
        ("dataset>a", "dataset has no order"),
        ("tag<a", "tag has no order"),
        ("created>2d", "must be a date .* For a time relative to now, use age<2d"),
        ("age<2", "age is '2', but must be a duration such as 90s, 30m, 2h, 7d or 2w"),
        ("id=260101-120000-abcd", "To search by run id, use run=260101-120000-abcd"),
        ("optimizer=adam*x", "must be one of sgd, adamw"),
        ("name=" + "a*" * 6, "more than 5 wildcards"),
        ("masks=..", "a range needs a number"),
        ("seed=1,x", "seed is 'x', but must be a number"),
        ("name~(", "is not a regular expression"),
        ('name~"a)(b"', "is not a regular expression"),
        ("/(/", "'\\(' is not a regular expression"),
        ("name:/(/", "is not a regular expression"),
        ("/open", "begins like a regular expression, /…/, but does not end with a slash"),
        ("seed~1", "seed is not text"),
        ("seed=1 or", "Missing term after 'or'"),
        ("or seed=1", "Missing term before 'or'"),
        ("seed=1 and and seed=2", "Missing term after 'and'"),
        ("not", "Missing term after 'not'"),
        ("()", "Missing term after '\\('"),
        ("(seed=1", "Unmatched '\\('"),
        ("seed=1)", "Unmatched '\\)'"),
        ("(" * 21 + "seed=1" + ")" * 21, "parentheses more than 20 deep"),
        ("note:a(b", "has a parenthesis inside a word. Quote the word"),
        ("seed=1 &&", "Missing term after 'and'"),
        ("| seed=1", "Missing term before 'or'"),
        ("seed=1 |", "Missing term after 'or'"),
        ("seed=1 !", "Missing term after 'not'"),
        ("!=1", "'!=1' has no field"),
        ("2λ>=0.9", "No field '2λ' to filter by.*\nTo search for the text, quote it: '2λ>=0.9'"),
        ("τ>=0.9", "No field 'τ' to filter by"),
        ("λλ >= 0.9", "No field 'λλ' to filter by"),
        ("lamda>=0.9", "No field 'lamda' to filter by. Did you mean lambda"),
        ("status:zzz", "must be one of queued"),
        ("status:", "status has an empty value"),
        ("status:failed,", "status has an empty value"),
        ("status=failed,", "status has an empty value"),
        ("status:,failed", "status has an empty value"),
        ("seed=1,", "must be a number"),
        ("gap<-3", "from -1 to 1 or a percentage: write -3%, not -3"),
        ("progress=finished", "To filter by status, use status=finished"),
        ("name='open", "unclosed quote"),
        ("created>yesterday", "must be a date such as"),
        ("> 0.9", "'>' has no field"),
        (">=0.9", "has no field: write field>value"),
        ('name="open', "unclosed quote"),
        ('"a"b', "unclosed quote, or text right after"),
        ("x " * 51, "has 51 terms; the maximum is 50"),
        ("x" * 1001, "has 1001 characters; the maximum is 1000"),
        ("name=\udcff", "is not valid text"),
    ],
)
def test_a_query_that_means_nothing_says_which_part(text: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        Query.parse(text)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("frist", "No run has 'frist' in its id, name, tags, note, data set and target"),
        ("runing", "No run has 'runing'"),
        ("stopped", "Did you mean status:stopped?"),
        ("colapsed", "Did you mean collapsed"),
        ("optimizer", "optimizer is a field: use optimizer=VALUE"),
        ("seed=1 or zzz", "No run has 'zzz'"),
        ("not zzz", "No run has 'zzz'"),
    ],
)
def test_a_word_that_no_run_has_is_an_error(store: Store, word: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        store.runs.query(word)


def test_quoted_text_may_match_nothing(store: Store) -> None:
    assert store.runs.find(store.runs.query("'zzz'")) == []
    assert [run.name for run in store.runs.find(store.runs.query("alpha"))] == ["alpha"]


def test_a_value_that_no_run_has_is_named_with_the_nearest(store: Store) -> None:
    why = store.runs.why_nothing_matches(store.runs.query("dataset=emojj seed=1"))
    assert why == "No run has dataset 'emojj'. Did you mean emoji?"
    assert store.runs.why_nothing_matches(store.runs.query("dataset=emoji seed=77")) == ""


def test_names_are_sorted_by_the_numbers_in_them(home: Home) -> None:
    with Store.open(home) as store:
        for name in ("run-10", "run-9", "run-100", "run-009b", "a"):
            store.runs.create(resolve_spec({}), name=name)
        assert _names(store, "") == ["a", "run-9", "run-009b", "run-10", "run-100"]
        assert _names(store, "", "-name")[:2] == ["run-100", "run-10"]


@pytest.mark.parametrize("sort", ["-odd", "ood,,name", "name; DROP TABLE runs", "-", "--ood"])
def test_an_unknown_sort_key_is_an_error(sort: str) -> None:
    with pytest.raises(QueryError, match="No field"):
        Query.parse("", sort=sort)


def test_every_field_of_a_spec_can_be_filtered_by() -> None:
    assert set(FIELDS) <= set(QUERY_FIELDS)
    assert set(ALIASES.values()) <= set(QUERY_FIELDS)
    assert not set(ALIASES) & set(QUERY_FIELDS)


@pytest.mark.parametrize("name", sorted({*QUERY_FIELDS, *ALIASES}))
def test_every_field_sorts(store: Store, name: str) -> None:
    assert sorted(_names(store, "", name)) == sorted(name for name, _, _ in RUNS)


def test_every_heading_of_a_column_is_a_field() -> None:
    without = {"data → target", "OOD trail", ""}
    headings = {column.column.heading for column in RUN_COLUMNS.values()} - without
    assert [each for each in headings if not is_field(each.replace(" ", "_"))] == []
    assert [each for each in RUN_COLUMNS if each != "trail" and not is_field(each)] == []


def test_an_expression_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    with Store.open(open_home(tmp_path)) as store:
        store.runs.create(resolve_spec({"seed": 1}), name="a" * 60)
        started = time.perf_counter()
        for text in ("name~^(a|aa)+$c", "/^(a|aa)+b/"):
            with pytest.raises(QueryError, match="takes too long"):
                store.runs.find(Query.parse(text))
        assert time.perf_counter() - started < 15
        assert len(store.runs.find(Query.parse("name~^a+$"))) == 1


def test_an_expression_written_as_a_value_is_named(store: Store) -> None:
    why = store.runs.why_nothing_matches(Query.parse("name=/^a/"))
    assert why == "No run has name '/^a/'. For a regular expression, use name~/^a/"


_WORDS = st.text(st.characters(codec="utf-8", exclude_characters='"')).map(
    lambda text: Term(f'"{text}"', text, is_quoted=True)
)
_COMPARISONS = st.builds(
    lambda field, operator, word: Term(
        f"{field}{operator}{word.text}", word.value, field, operator, is_quoted=True
    ),
    st.sampled_from(sorted(QUERY_FIELDS)),
    st.sampled_from(["=", "!=", ":", "<", "<=", ">", ">=", "~", "!~"]),
    _WORDS,
)
_TREES: st.SearchStrategy[Tree] = st.recursive(
    _WORDS | _COMPARISONS,
    lambda parts: (
        st.builds(Not, parts)
        | st.builds(
            Joined, st.lists(parts, min_size=2, max_size=3).map(tuple), is_any=st.booleans()
        )
    ),
    max_leaves=8,
)


def _written(tree: Tree, signs: Mapping[str, str]) -> str:
    match tree:
        case Term():
            return tree.text
        case Not(part):
            return f"{signs['not']}({_written(part, signs)})"
        case Joined(parts, is_any):
            sign = signs["or" if is_any else "and"]
            return sign.join(f"({_written(part, signs)})" for part in parts)


def _plain(tree: Tree) -> Tree:
    """Return a tree in which a list has several parts."""
    match tree:
        case Joined((part,)):
            return _plain(part)
        case Joined(parts, is_any):
            return Joined(tuple(map(_plain, parts)), is_any)
        case Not(part):
            return Not(_plain(part))
        case _:
            return tree


@settings(max_examples=200, deadline=None)
@given(
    tree=_TREES,
    signs=st.fixed_dictionaries(
        {
            "not": st.sampled_from(["not ", "!", "-", "NOT", "! "]),
            "or": st.sampled_from([" or ", "|", " | ", "||"]),
            "and": st.sampled_from([" and ", " ", " & ", " && "]),
        }
    ),
)
def test_what_is_written_is_read_as_it_was_meant(tree: Tree, signs: dict[str, str]) -> None:
    text = _written(tree, signs)
    assume(len(text) <= 1000)
    assert _plain(parse_terms(text)) == tree


_PIECES = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=()), max_size=20),
    st.sampled_from(
        [*QUERY_FIELDS, *ALIASES, "=", "!=", "~", "!~", "(", " or ", " and ", "not ", "-", "*",
         "..", ",", "2d", ":", "<", "<=", ">", ">=", " ", '"', "'", "--", ";",
         "%", "_", "\\", "none",
         "|", "||", "!", "&&", "/", "/a", "≥", "λ", "(?", "{2}", "[", "?",
         "0.9", "true", "running", "2025-01-01", "\x00", ")", "OR 1=1",
         "'; DROP TABLE runs; --", '")', "json_extract"]
    ),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(_PIECES, max_size=12), sort=st.none() | st.text(max_size=10))
def test_any_text_is_a_query_or_a_query_error(
    store: Store, pieces: list[str], sort: str | None
) -> None:
    text = "".join(pieces)
    try:
        query = Query.parse(text, sort=sort)
    except QueryError:
        return
    found = {run.name for run in store.runs.find(query)}
    assert found <= {name for name, _, _ in RUNS}
    assert len(store.runs.find()) == len(RUNS)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(QUERY_FIELDS)),
    operator=st.sampled_from(["=", "!=", ":", "<", ">="]),
    value=st.text(alphabet=st.characters(exclude_categories=(), exclude_characters='"')),
)
def test_a_value_never_becomes_sql(store: Store, name: str, operator: str, value: str) -> None:
    try:
        query = Query.parse(f'{name}{operator}"{value}"')
    except QueryError:
        return
    (condition,) = query.conditions
    harmless = _harmless(name) if value.isascii() or QUERY_FIELDS[name].choices else "ü"
    known = Query.parse(f'{name}{operator}"{harmless}"').conditions[0]
    assert condition.sql == known.sql
    store.runs.find(query)


def _harmless(name: str) -> str:
    field = QUERY_FIELDS[name]
    samples = {"number": "1", "flag": "true", "time": "2025-01-01", "text": "x", "words": "x",
               "duration": "1h"}  # fmt: skip
    return field.choices[0] if field.choices else samples[field.kind]


def test_the_longest_query_is_answered(store: Store) -> None:
    started = time.perf_counter()
    assert _names(store, " ".join(["e"] * 50)) != []
    assert _names(store, "e" * 1000) == []
    assert time.perf_counter() - started < 5


def test_a_run_stored_before_a_field_existed_has_its_default(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    with Store.open(home) as store:
        old = store.runs.create(resolve_spec({"seed": 1}), name="old")
        store.runs.create(resolve_spec({"seed": 2, "augment_validation": True}), name="new")
    with closing(sqlite3.connect(home.database)) as database, database:
        for name in ("augment_validation", "momentum", "precision", "eval_from"):
            database.execute(
                "UPDATE runs SET spec = json_remove(spec, ?) WHERE run_id = ?",
                [f"$.{name}", old.run_id],
            )
    with Store.open(home) as store:
        assert store.runs.get(old.run_id).spec == old.spec
        assert _names(store, "augment_validation=no") == ["old"]
        assert _names(store, "momentum=0.9 precision=auto") == ["new", "old"]
        assert _names(store, "", sort="augment_validation,name") == ["old", "new"]


@pytest.mark.parametrize(
    ("typed", "finished"),
    [
        ("target=noto se", "target=noto"),
        ("target=noto !collap", "target=noto"),
        ("(seed=1|dro", "(seed=1|"),
        ("gamma", "gamma"),
        ("seed", ""),
        ("name=se", "name=se"),
        ("'a se", "'a"),
    ],
)
def test_a_field_that_is_begun_is_no_text_to_search_for(typed: str, finished: str) -> None:
    assert finished_part(typed) == finished


@pytest.mark.parametrize("text", ["", "base", "dropout>=0.5", "status:finished", "name=none"])
def test_a_pinned_query_finds_the_same_runs_in_the_same_order(store: Store, text: str) -> None:
    query = Query.parse(text, sort="name")
    found = [run.run_id for run in store.runs.find(query)]
    for most in (0, 100):
        count, pinned = store.runs.pinned(query, most=most)
        assert count == len(found)
        assert [run.run_id for run in store.runs.find(pinned)] == found


def test_a_text_that_is_a_value_is_not_searched_for_in_others() -> None:
    assert Query.parse("layout:class").parameters == ("class",)
    assert Query.parse("layout:Class").parameters == ("class",)
    assert len(Query.parse("layout:clas").parameters) > 1


@pytest.mark.parametrize("text", ["note:", "note=", "tags:", "tags="])
def test_a_field_without_a_value_finds_the_runs_that_have_none(store: Store, text: str) -> None:
    shown = {run.name: run.note if "note" in text else run.tags
             for run in store.runs.find(Query.parse(text))}  # fmt: skip
    assert shown
    assert not any(shown.values())
