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

leaderboard = typer.Typer(help="The leaderboard as a static site.", no_args_is_help=True)
app.add_typer(leaderboard, name="leaderboard")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout for machines.")]
Task = Annotated[str | None, typer.Option("--task", "-t", help="Task name; see `dxbench list tasks`.")]
Results = Annotated[
    list[Path] | None, typer.Option(help="Folders of records. Default: the reference results, then your own.")
]
Pictures = Annotated[
    bool, typer.Option("--pictures", help="With pictures of runs whose arrays are under DXBENCH_HOME.")
]
ListKind = Literal["tasks", "methods", "metrics", "protocols", "launchers", "suites"]
Precision = Literal["32", "bf16"]
ClaimsFormat = Literal["text", "md"]
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
    "dxbench run -t gaussians8 -m my_method.py:MyMethod  |  dxbench run --suite dxmi-table1  |  "
    "dxbench run -t digits -m dxmi --devices 2 --accumulate 4 --precision bf16  |  "
    "dxbench run -t cifar10 -m dxmi --init train"
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
    init: Annotated[
        Literal["pretrained", "train"] | None,
        typer.Option(help="Backbone from official weights, or trained first; short for --set init=..."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[
        int, typer.Option(min=1, help="Devices of a run, a process each; torchrun and SLURM are recognised.")
    ] = 1,
    accumulate: Annotated[
        int, typer.Option(min=1, help="Micro-batches per device; the batch size stays that of all devices together.")
    ] = 1,
    precision: Annotated[Precision, typer.Option(help="Of networks; bf16 by autocast.")] = "32",
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
                assignments=[*(assign or []), *([f"init={init}"] if init else [])],
                device=device,
                devices=devices,
                accumulate=accumulate,
                precision=precision,
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
    samples: Annotated[
        Path,
        typer.Argument(
            help="npz or npy with one array [n, *event], named arr_0 or samples. Images: uint8 [n, height, width, "
            "channels], or a zip or folder of PNGs, or an npz with mu and sigma."
        ),
    ],
    task: Annotated[str, typer.Option("--task", "-t", help="Task name; see `dxbench list tasks`.")],
    n: Annotated[
        int | None, typer.Option("--n", min=2, help="How many samples an npz with mu and sigma is of; it does not say.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score samples made elsewhere."""
    from dxbench.cli.evaluate import evaluate_command

    raise typer.Exit(evaluate_command(samples, task, n=n, as_json=as_json))


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
    results: Results = None,
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
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Is A better than B? Over their training seeds; exit code 6 where the two cannot be compared."""
    from dxbench.cli.compare import compare_command

    raise typer.Exit(compare_command(a, b, task=task, alpha=alpha, folders=results, as_json=as_json))


@app.command(
    epilog="Examples:  dxbench explain dxmi 'ddpm[num_steps=5]' -t gaussians8  |  dxbench explain old.json new.json"
)
def explain(
    a: Annotated[str, typer.Argument(help="A row as in `dxbench compare`, or the path of a record.")],
    b: Annotated[str, typer.Argument(help="What its numbers are held against.")],
    task: Task = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Default: the task's headline.")] = None,
    results: Annotated[
        list[Path] | None, typer.Option(help="Folders of records. Default: the reference results, then your own.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Why do two numbers differ? Kept samples are scored again, one field of the protocol changed at a time."""
    from dxbench.cli.explain import explain_command

    raise typer.Exit(explain_command(a, b, task=task, metrics=metric, folders=results, as_json=as_json))


@app.command(
    epilog="Examples:  dxbench check --baseline results  |  "
    "dxbench check --baseline results --rel-tol 0.02 --junit gate.xml --json"
)
def check(
    baseline: Annotated[Path, typer.Option(help="Folder of records to be held against.")],
    results: Annotated[
        Path | None, typer.Option(help="Folder of records to judge. Default: your own, DXBENCH_RESULTS.")
    ] = None,
    task: Task = None,
    alpha: Annotated[float, typer.Option(help="Family-wise error over all tests of the check.")] = 0.05,
    rel_tol: Annotated[
        float, typer.Option("--rel-tol", help="Smallest change that counts, as a share of the baseline's mean.")
    ] = 1e-6,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to a file.")] = None,
    as_json: Json = False,
) -> None:
    """Has anything become worse? Exit code 4 for a regression, 6 where a number could not be judged."""
    from dxbench.cli.check import check_command

    raise typer.Exit(
        check_command(
            baseline=baseline,
            results=results,
            task=task,
            alpha=alpha,
            rel_tol=rel_tol,
            junit_file=junit,
            as_json=as_json,
        )
    )


@app.command(epilog="Examples:  dxbench claims  |  dxbench claims --paper 'DxMI 2024' --task gaussians8 --format md")
def claims(
    paper: Annotated[str | None, typer.Option(help="Key of a source, such as 'DxMI 2024'.")] = None,
    task: Task = None,
    format: Annotated[ClaimsFormat, typer.Option("--format", "-f", help="Output format.")] = "text",
    results: Annotated[
        list[Path] | None, typer.Option(help="Folders of records. Default: the reference results, then your own.")
    ] = None,
    published: Annotated[
        Path | None, typer.Option(help="Folder of published rows. Default: those of the reference results.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Do the numbers of papers hold? A verdict per published cell; exit code 6 where none could be judged."""
    from dxbench.cli.claims import claims_command

    raise typer.Exit(
        claims_command(paper=paper, task=task, format=format, folders=results, published=published, as_json=as_json)
    )


@leaderboard.command(
    epilog="Examples:  dxbench leaderboard build  |  dxbench leaderboard build --results results --out build/site"
)
def build(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; an earlier site in it is replaced.")] = Path(
        "build/site"
    ),
    results: Results = None,
    pictures: Pictures = False,
    as_json: Json = False,
) -> None:
    """Write the site into one folder. It needs neither network nor server: open its index.html."""
    from dxbench.cli.leaderboard import build_command

    raise typer.Exit(build_command(out=out, folders=results, pictures=pictures, as_json=as_json))


@leaderboard.command(epilog="Example:  dxbench leaderboard serve --port 8000")
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8000,
    results: Results = None,
    pictures: Pictures = False,
) -> None:
    """Build the site anew and serve it to this machine."""
    from dxbench.cli.leaderboard import serve_command

    raise typer.Exit(serve_command(port=port, folders=results, pictures=pictures))


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


@app.command(
    epilog="Examples:  dxbench prepare --task cifar10  |  dxbench prepare -t imagenet64 --list  |  "
    "dxbench prepare -t mvtec_ad --accept-licence  |  dxbench prepare -t cifar10 --only inception-2015 --offline"
)
def prepare(
    task: Annotated[str, typer.Option("--task", "-t", help="Task name; see `dxbench list tasks`.")],
    only: Annotated[list[str] | None, typer.Option("--only", help="One of its files by name; repeatable.")] = None,
    list_only: Annotated[bool, typer.Option("--list", help="Say what is there, fetch and check nothing.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Check what is there, fetch nothing; as DXBENCH_OFFLINE=1 does.")
    ] = False,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You accept the terms of data sets that ask for it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch data and weights of a task and check their hashes; what a person has to fetch is said. Exit code 7 if
    something is still missing. Broken transfers go on where they stopped. Files go to DXBENCH_DATA, ./data by default.
    """
    from dxbench.cli.prepare import prepare_command

    raise typer.Exit(
        prepare_command(
            task,
            only=only or [],
            list_only=list_only,
            offline=offline,
            accept_licence=accept_licence,
            as_json=as_json,
        )
    )


@app.command(epilog="Example:  dxbench doctor")
def doctor(as_json: Json = False) -> None:
    """Check this machine: versions, devices, folders, plug-ins, repeatability."""
    from dxbench.cli.doctor import doctor_command

    raise typer.Exit(doctor_command(as_json=as_json))


# --- submissions: new method, check-method, submit, validate, merge ------------------------------------------

new_app = typer.Typer(help="Write a package of your own from a template.", no_args_is_help=True)
app.add_typer(new_app, name="new")


@new_app.command(
    name="method",
    epilog="Examples:  dxbench new method my_method  |  dxbench new method my_method --folder code/my_method",
)
def new_method(
    name: Annotated[str, typer.Argument(help="Name of the method and its module, such as my_method.")],
    folder: Annotated[Path | None, typer.Option(help="Where to write it; default a folder of that name here.")] = None,
    as_json: Json = False,
) -> None:
    """A package with a working method, its entry point and its tests."""
    from dxbench.cli.scaffold import new_method_command

    raise typer.Exit(new_method_command(name, folder, as_json=as_json))


@app.command(
    name="check-method",
    epilog="Examples:  dxbench check-method my_method  |  "
    "dxbench check-method my_method.py:MyMethod --set hidden=32 --json",
)
def check_method(
    name: Annotated[str, typer.Argument(help="Method name, or path/to/file.py:Class.")],
    task: Annotated[str, typer.Option("--task", "-t", help="The task whose problem it is tried on.")] = "gaussians8",
    preset: Annotated[str, typer.Option(help="Preset of the method for the task.")] = "default",
    assign: Annotated[list[str] | None, typer.Option("--set", help="key=value, over the preset; repeatable.")] = None,
    steps: Annotated[int, typer.Option(min=2, help="Training steps per check.")] = 6,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Does a method keep what the suite relies on? Shapes, honest NFE, seeds, resume; exit code 5 if not."""
    from dxbench.cli.check_method import check_method_command

    raise typer.Exit(
        check_method_command(
            name, task, preset=preset, assignments=assign or [], steps=steps, device=device, as_json=as_json
        )
    )


@app.command(
    epilog="Examples:  dxbench submit --task gaussians8 --method my_method  |  "
    "dxbench submit -t gaussians8 -m 'dxmi[tau=0.01]' --out bundle.zip"
)
def submit(
    task: Annotated[str, typer.Option("--task", "-t", help="Task name; see `dxbench list tasks`.")],
    method: Annotated[
        str, typer.Option("--method", "-m", help="A row: method, method:preset, method[key=value], or a config id.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The bundle; default <task>-<method>-<id>.zip.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Folder of your records. Default DXBENCH_RESULTS.")] = None,
    as_json: Json = False,
) -> None:
    """Pack every seed of a configuration with hashes and a part of the samples, for others to check."""
    from dxbench.cli.submissions import submit_command

    raise typer.Exit(submit_command(task, method, out=out, records=results, as_json=as_json))


@app.command(epilog="Examples:  dxbench validate bundle.zip  |  dxbench validate bundle.zip --results results --json")
def validate(
    bundle: Annotated[Path, typer.Argument(help="A bundle that `dxbench submit` wrote.")],
    results: Annotated[
        Path | None, typer.Option(help="Records it must not repeat. Default: the reference results.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Is a bundle to be believed? Nothing in it is executed; exit code 5, with every defect, if not."""
    from dxbench.cli.submissions import validate_command

    raise typer.Exit(validate_command(bundle, results=results, as_json=as_json))


@app.command(epilog="Example:  dxbench merge bundle.zip --results results")
def merge(
    bundle: Annotated[Path, typer.Argument(help="A bundle that `dxbench submit` wrote.")],
    results: Annotated[Path, typer.Option(help="Folder of records that they are added to.")] = Path("results"),
    as_json: Json = False,
) -> None:
    """Add the records of a valid bundle to the results, all of them or none."""
    from dxbench.cli.submissions import merge_command

    raise typer.Exit(merge_command(bundle, results=results, as_json=as_json))
