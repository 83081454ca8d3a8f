"""All commands in one place. Each imports what it needs when called, so that --help stays quick."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from dxbench import __version__

app = typer.Typer(
    help="Benchmark few-step diffusion samplers and energy-based models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 internal error, 2 usage, 3 some run failed, 4 regression, 5 validation failed, "
    "6 nothing measured or not comparable, 7 data missing, 130 interrupted with the state saved.",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout for machines.")]
Task = Annotated[str | None, typer.Option("--task", "-t", help="Task name; see `dxbench list tasks`.")]
ListKind = Literal["tasks", "methods", "metrics", "protocols", "launchers", "suites"]
TableFormat = Literal["text", "md", "latex", "latex-table", "html", "csv", "json"]


def _version(asked: bool) -> None:
    if asked:
        print(f"dxbench {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Benchmark few-step diffusion samplers and energy-based models."""


@app.command(
    epilog="Examples:  dxbench run --task gaussians8 --method dxmi  |  "
    "dxbench run -t gaussians8 -m dxmi --seed 0,1,2 --set tau=0.01 --jobs 2  |  "
    "dxbench run -t gaussians8 -m my_method.py:MyMethod  |  dxbench run --suite dxmi-table1"
)
def run(
    task: Task = None,
    method: Annotated[str | None, typer.Option("--method", "-m", help="Method name, or path/to/file.py:Class.")] = None,
    suite: Annotated[str | None, typer.Option(help="Run every row of a suite: a name or a .toml file.")] = None,
    seed: Annotated[
        str | None, typer.Option("--seed", "-s", help="Training seeds, comma separated. Default 0.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Preset of the method for the task.")] = None,
    assign: Annotated[list[str] | None, typer.Option("--set", help="key=value, over the preset; repeatable.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    launcher: Annotated[str, typer.Option(help="How cells are run; see `dxbench list launchers`.")] = "local",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Cells at a time.")] = 1,
    timeout: Annotated[
        str | None, typer.Option(help="Limit per cell, such as 90s, 30m, 2h; ends as `timeout`.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Folder of records. Default DXBENCH_RESULTS.")] = None,
    checkpoint_every: Annotated[float, typer.Option(min=0.0, help="Seconds between checkpoints.")] = 60.0,
    again: Annotated[bool, typer.Option("--again", help="Measure anew what already has a record.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore checkpoints of earlier attempts.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells and their cost so far, run none.")
    ] = False,
    report: Annotated[bool, typer.Option(help="Write an HTML report per run.")] = True,
    as_json: Json = False,
) -> None:
    """Train and score. A killed or stopped run goes on where it was when the same command is given again."""
    from dxbench.cli.run import RunRequest, run_command

    raise typer.Exit(
        run_command(
            RunRequest(
                task=task,
                method=method,
                suite=suite,
                seeds=seed,
                preset=preset,
                assignments=assign or [],
                device=device,
                launcher=launcher,
                jobs=jobs,
                timeout=timeout,
                results=results,
                checkpoint_every=checkpoint_every,
                again=again,
                fresh=fresh,
                dry_run=dry_run,
                report=report,
                as_json=as_json,
            )
        )
    )


@app.command(name="eval", epilog="Example:  dxbench eval samples.npz --task gaussians8")
def evaluate(
    samples: Annotated[Path, typer.Argument(help="npz with one array [n, *event], named arr_0 or samples.")],
    task: Annotated[str, typer.Option("--task", "-t", help="Task name; see `dxbench list tasks`.")],
    as_json: Json = False,
) -> None:
    """Score samples made elsewhere."""
    from dxbench.cli.evaluate import evaluate_command

    raise typer.Exit(evaluate_command(samples, task, as_json=as_json))


@app.command(
    epilog="Examples:  dxbench table --task gaussians8  |  "
    "dxbench table --suite dxmi-table1 --published --format md  |  dxbench table -t gaussians8 -f latex -o table.tex"
)
def table(
    task: Task = None,
    suite: Annotated[str | None, typer.Option(help="Rows of a suite, in its order.")] = None,
    published: Annotated[bool, typer.Option("--published", help="Beside them, the numbers of papers.")] = False,
    format: Annotated[TableFormat, typer.Option("--format", "-f", help="Output format.")] = "text",
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Columns; default the task's headline.")] = None,
    results: Annotated[
        list[Path] | None, typer.Option(help="Folders of records. Default: the reference results, then your own.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to a file.")] = None,
) -> None:
    """Mean and std over training seeds, ranked within rows of one protocol, with the floor beneath."""
    from dxbench.cli.table import table_command

    raise typer.Exit(
        table_command(
            task=task,
            suite=suite,
            published=published,
            format=format,
            metrics=metric,
            folders=results,
            out=out,
        )
    )


@app.command(
    epilog="Examples:  dxbench compare dxmi 'ddpm[num_steps=10]' -t gaussians8  |  "
    "dxbench compare 'dxmi:pretrained' 'dxmi:pretrained[tau=0.01]' -t gaussians8"
)
def compare(
    a: Annotated[str, typer.Argument(help="A row: method, method:preset, method[key=value], or a config id.")],
    b: Annotated[str, typer.Argument(help="The row it is compared with.")],
    task: Annotated[str, typer.Option("--task", "-t", help="Task name; see `dxbench list tasks`.")],
    alpha: Annotated[float, typer.Option(help="Family-wise error over the metrics.")] = 0.05,
    results: Annotated[
        list[Path] | None, typer.Option(help="Folders of records. Default: the reference results, then your own.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Is A better than B? Paired over training seeds; exit code 6 where the two cannot be compared."""
    from dxbench.cli.compare import compare_command

    raise typer.Exit(compare_command(a, b, task=task, alpha=alpha, folders=results, as_json=as_json))


@app.command(name="list", epilog="Examples:  dxbench list methods  |  dxbench list tasks --json")
def list_(kind: Annotated[ListKind, typer.Argument(help="What to list.")], as_json: Json = False) -> None:
    """Names and one line on each."""
    from dxbench.cli.listing import list_command

    list_command(kind, as_json=as_json)


@app.command(epilog="Examples:  dxbench info dxmi  |  dxbench info gaussians8 --json")
def info(
    name: Annotated[str, typer.Argument(help="A task, method, metric, suite, or file.py:Class.")],
    as_json: Json = False,
) -> None:
    """All about one task, method, metric or suite: configuration, presets, protocol."""
    from dxbench.cli.listing import info_command

    info_command(name, as_json=as_json)


@app.command(epilog="Example:  dxbench doctor")
def doctor(as_json: Json = False) -> None:
    """Check this machine: versions, devices, folders, plug-ins, repeatability."""
    from dxbench.cli.doctor import doctor_command

    raise typer.Exit(doctor_command(as_json=as_json))
