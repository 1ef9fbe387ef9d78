"""One small use of each dependency, on the path that we use: a broken stack fails here, by name.

`pip check` passes on stacks that do not work (ibis 12 with duckdb 2 or a late sqlglot, lifelines 0.30.0 with
pandas 3), so each test does what the package does with the library, and nothing else.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import sys
import tomllib
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.repo.files import ROOT, imported, modules

BROUGHT_BY = {
    "jupyter_client": ("ipykernel", "nbclient"),
    "markupsafe": ("jinja2",),
    "threadpoolctl": ("scikit-learn",),
}
"""Imported though not declared, because those that we declare cannot work without it."""

BIG_ID = 2**53 + 1


def declared() -> dict[str, str]:
    """Return the requirements of pyproject.toml by the distribution's name, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    found = {re.split(r"[\[<>=!~; ]", line)[0].lower(): line for line in [*project["dependencies"], *extras]}
    found.pop(project["name"])
    return found


def extra(name: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["optional-dependencies"][name])


def development() -> list[str]:
    return [*extra("dev"), *extra("bench")]


def test_the_page_on_dependencies_names_each_one_and_no_other() -> None:
    page = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([\w.-]+)` \|", page, re.MULTILINE))
    assert named == set(declared())


# The peers of the benchmarks are installed by whoever runs those.
INSTALLED = sorted(name for name, line in declared().items() if line not in extra("bench"))


@pytest.mark.parametrize("name", INSTALLED)
def test_each_is_installed_within_its_range(name: str) -> None:
    from packaging.requirements import Requirement

    wanted = Requirement(declared()[name])
    assert wanted.specifier.contains(metadata.version(name)), f"{wanted} but {metadata.version(name)}"


def test_the_package_imports_only_what_is_declared() -> None:
    distributions = metadata.packages_distributions()
    used = {name for tree in modules().values() for name in imported(tree)}
    outside = used - set(sys.stdlib_module_names) - {"clinops"}
    required = {name for name, line in declared().items() if line not in development()}
    undeclared = {
        name
        for name in outside - set(BROUGHT_BY)
        if not {each.lower() for each in distributions.get(name, [])} & required
    }
    assert undeclared == set()


def test_numpy_and_scipy_give_known_numbers() -> None:
    from scipy.optimize import linprog
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.special import chdtrc, ndtr
    from scipy.stats import norm

    assert norm.ppf(0.975) == pytest.approx(1.959963984540054, rel=1e-14)
    assert ndtr(0.0) == 0.5
    assert chdtrc(1, 3.841458820694124) == pytest.approx(0.05, rel=1e-12)
    assert linprog([-1.0, -1.0], A_ub=[[1.0, 2.0]], b_ub=[4.0], bounds=[(0, 1), (0, None)]).fun == -2.5
    pairs = coo_matrix(([1, 1], ([0, 2], [1, 3])), shape=(5, 5))
    assert connected_components(pairs, directed=False)[0] == 3
    left, right = (np.random.default_rng(7).standard_normal(3) for _ in range(2))
    assert left.tolist() == right.tolist()


def test_numba_compiles_a_loop_to_the_same_number() -> None:
    from numba import njit

    def total(values: np.ndarray) -> float:
        found = 0.0
        for value in values:
            found += value / 3
        return found

    values = np.arange(7.0)
    assert njit(total)(values) == total(values)


def test_pandas_and_pyarrow_keep_large_ids_decimals_and_text(tmp_path: Path) -> None:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "person_id": pa.array([BIG_ID, None], pa.int64()),
            "paid": pa.array([Decimal("0.10"), Decimal("12.30")], pa.decimal128(18, 2)),
            "code": ["042", "250.00"],
            "day": pa.array([dt.date(2020, 2, 29), None], pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    back = pd.read_parquet(tmp_path / "x.parquet", dtype_backend="numpy_nullable")
    assert back["person_id"].dtype == pd.Int64Dtype()
    assert back["person_id"].iloc[0] == BIG_ID
    assert back["paid"].sum() == Decimal("12.40")
    assert back["code"].tolist() == ["042", "250.00"]
    assert back["day"].iloc[0] == dt.date(2020, 2, 29)


def test_duckdb_reads_parquet_and_makes_a_temporary_table(tmp_path: Path) -> None:
    import duckdb

    file = tmp_path / "visit.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {BIG_ID} AS person_id, DATE '2020-02-29' AS day) TO '{file}'")
        connection.execute(f"CREATE TEMP TABLE visit AS SELECT * FROM read_parquet('{file}')")
        found = connection.execute("SELECT person_id, day + 365 FROM visit").to_arrow_table()
    assert [column.to_pylist() for column in found.columns] == [[BIG_ID], [dt.date(2021, 2, 28)]]


def within_a_year() -> Any:
    """A join, a window in days and a count: the shape of most of our queries."""
    import ibis

    person = ibis.table({"person_id": "int64", "index_date": "date"}, name="cohort")
    visit = ibis.table({"person_id": "int64", "visit_start_date": "date"}, name="visit_occurrence")
    joined = person.inner_join(visit, "person_id")
    day = joined.visit_start_date.delta(joined.index_date, unit="day")
    return joined.filter(day.between(1, 365)).group_by("person_id").agg(n=ibis._.count()).order_by("person_id")


@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
def test_ibis_compiles_to_sql_that_sqlglot_reads(dialect: str) -> None:
    import ibis
    import sqlglot

    text = str(ibis.to_sql(within_a_year(), dialect=dialect))
    parsed = sqlglot.parse_one(text, read=dialect)
    assert {table.name for table in parsed.find_all(sqlglot.exp.Table)} >= {"cohort", "visit_occurrence"}


def test_the_sql_of_ibis_runs_on_duckdb() -> None:
    import duckdb
    import ibis

    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE cohort AS SELECT 1::BIGINT AS person_id, DATE '2020-01-01' AS index_date")
        connection.execute(
            "CREATE TABLE visit_occurrence AS SELECT 1::BIGINT AS person_id, day AS visit_start_date "
            "FROM (VALUES (DATE '2020-01-01'), (DATE '2020-01-02'), (DATE '2020-12-31'), (DATE '2021-01-01')) v(day)"
        )
        found = connection.execute(str(ibis.to_sql(within_a_year(), dialect="duckdb"))).fetchall()
    assert found == [(1, 2)]  # day 0 is before the window, day 366 after it


def test_lifelines_counts_a_death_before_a_censoring_at_the_same_time() -> None:
    from lifelines import KaplanMeierFitter

    fitted = KaplanMeierFitter().fit([1, 2, 2, 3], [1, 1, 0, 0])
    assert fitted.survival_function_.iloc[:, 0].tolist() == pytest.approx([1, 0.75, 0.5, 0.5])


def test_scikit_learn_fits_an_l1_penalised_logit() -> None:
    from sklearn.linear_model import LogisticRegression

    x = np.column_stack([np.linspace(-2, 2, 40), np.tile([1.0, -1.0], 20)])
    y = (x[:, 0] > 0.3).astype(int)
    newer = tuple(int(part) for part in metadata.version("scikit-learn").split(".")[:2]) >= (1, 8)
    penalty: dict[str, Any] = {"l1_ratio": 1.0} if newer else {"penalty": "l1"}
    fitted = LogisticRegression(C=0.5, solver="saga", max_iter=20_000, tol=1e-8, **penalty).fit(x, y)
    assert fitted.coef_[0, 0] > 0
    assert fitted.coef_[0, 1] == 0


def test_scikit_learn_boosts_the_same_trees_twice_on_one_thread() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    x = np.random.default_rng(1).normal(size=(300, 2))
    y = x[:, 0] ** 2 + x[:, 1] > 0.5
    with threadpool_limits(1):
        models = [HistGradientBoostingClassifier(max_iter=5, early_stopping=False).fit(x, y) for _ in range(2)]
        one, other = (model.predict_proba(x)[:, 1] for model in models)
    assert (one == other).all() and one[y].mean() > one[~y].mean()


def test_matplotlib_writes_the_same_svg_twice_and_takes_a_dollar_as_a_dollar() -> None:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    def drawn() -> bytes:
        settings: Any = {"svg.hashsalt": "clinops", "svg.fonttype": "none", "text.parse_math": False}
        with matplotlib.rc_context(settings):
            figure = Figure(figsize=(3, 2))
            FigureCanvasSVG(figure)
            axes = figure.subplots()
            axes.plot([0, 1], [0, 1], marker="o")
            axes.set_title("PMPM from $1,200 to $3,400")
            out = io.BytesIO()
            figure.savefig(out, format="svg", metadata={"Date": None})
        return out.getvalue()

    first = drawn()
    assert first == drawn()
    assert b"PMPM from $1,200 to $3,400" in first
    assert b"<dc:date>" not in first


def test_great_tables_gives_the_same_html_twice() -> None:
    import pandas as pd
    from great_tables import GT

    frame = pd.DataFrame({"arm": ["Offered", "<b>Not</b>"], "n": [1844, 850]})

    def html() -> str:
        table = GT(frame, id="t5").fmt_integer("n").tab_header("Persons")
        return str(table.as_raw_html(inline_css=False, make_page=False))

    assert html() == html()
    assert "1,844" in html()
    assert 'id="t5"' in html()


NOTEBOOK = """{"cells": [
 {"cell_type": "code", "id": "parameters", "metadata": {"tags": ["parameters"]}, "execution_count": null,
  "outputs": [], "source": "site: str = 'All'"},
 {"cell_type": "markdown", "id": "question", "metadata": {}, "source": "# Did it work?"}],
 "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
              "language_info": {"name": "python"}},
 "nbformat": 4, "nbformat_minor": 5}"""


def test_nbformat_papermill_and_nbclient_read_a_notebook(tmp_path: Path) -> None:
    import nbclient
    import nbformat
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    file = tmp_path / "x.ipynb"
    file.write_text(NOTEBOOK, encoding="utf-8")
    nbformat.validate(nbformat.read(file, as_version=4))
    filled = parameterize_notebook(load_notebook_node(str(file)), {"site": "NO"})
    assert [cell.metadata.get("tags") for cell in filled.cells[:2]] == [["parameters"], ["injected-parameters"]]
    assert 'site = "NO"' in filled.cells[1].source
    client = nbclient.NotebookClient(nbformat.read(file, as_version=4), timeout=5)
    assert client.kernel_name in ("", "python3")
    assert issubclass(DeadKernelError, RuntimeError) and not issubclass(CellExecutionError, DeadKernelError)


def test_ipykernel_describes_a_kernel_of_this_interpreter() -> None:
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.manager import AsyncKernelManager

    assert get_kernel_dict()["argv"][0] == sys.executable
    assert AsyncKernelManager(transport="ipc").transport == "ipc"


def test_jinja2_escapes_and_refuses_the_undefined() -> None:
    from jinja2 import Environment, StrictUndefined, UndefinedError

    pages = Environment(autoescape=True, undefined=StrictUndefined)
    assert pages.from_string("<td>{{ x }}</td>").render(x="<script>") == "<td>&lt;script&gt;</td>"
    with pytest.raises(UndefinedError):
        pages.from_string("{{ y }}").render()


def test_markdown_it_and_nh3_make_safe_html() -> None:
    import nh3
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark", {"html": False}).enable("table").render("| a |\n|---|\n| *1* <b>x</b> |\n")
    assert "<em>1</em>" in html
    assert "&lt;b&gt;" in html
    assert nh3.clean('<p onclick="x()">a<script>b</script></p>') == "<p>a</p>"


def test_pyyaml_guesses_when_it_constructs_and_not_when_it_composes() -> None:
    import yaml

    text = "site: NO\ncode: 007"
    assert yaml.safe_load(text) == {"site": False, "code": 7}  # why we never construct values from YAML
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    assert {key.value: value.value for key, value in node.value} == {"site": "NO", "code": "007"}


def test_rich_draws_into_a_file() -> None:
    from rich.console import Console
    from rich.progress import Progress

    out = io.StringIO()
    with Progress(console=Console(file=out, force_terminal=False, width=60)) as bar:
        bar.advance(bar.add_task("run", total=1))
    assert "run" in out.getvalue()


def test_python_docx_writes_a_table_that_reads_back() -> None:
    from docx import Document

    made, out = Document(), io.BytesIO()
    made.add_table(rows=1, cols=1).cell(0, 0).text = "$1 to $2"
    made.save(out)
    assert Document(io.BytesIO(out.getvalue())).tables[0].cell(0, 0).text == "$1 to $2"


def test_reportlab_and_pypdf_agree_on_a_line() -> None:
    from pypdf import PdfReader
    from reportlab.pdfgen.canvas import Canvas

    def drawn() -> bytes:
        out = io.BytesIO()
        canvas = Canvas(out, invariant=1)
        canvas.drawString(72, 72, "$1 to $2")
        canvas.save()
        return out.getvalue()

    assert drawn() == drawn()
    assert PdfReader(io.BytesIO(drawn())).pages[0].extract_text().strip() == "$1 to $2"


def test_psycopg_has_its_own_library() -> None:
    import psycopg
    from psycopg import sql

    assert psycopg.pq.__impl__ == "binary"
    assert sql.Identifier('a"b').as_string(None) == '"a""b"'


def test_the_tools_of_the_lab_and_of_development_are_here() -> None:
    assert metadata.version("jupyterlab").startswith("4.")
    import hypothesis
    import statsmodels

    assert hypothesis.settings(deadline=None).deadline is None
    assert statsmodels.__version__ == metadata.version("statsmodels")
