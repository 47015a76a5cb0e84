"""The program's own settings. What a repository can be told is declared in the repository."""

from __future__ import annotations

from typing import Literal

from statspout.options import Options, option


class Settings(Options):
    """How to find the containers, how often to read them, and where the readings go."""

    config: str = option(default="", help="A TOML file with settings; `statspout config` prints one with all of them.")
    repository: tuple[str, ...] = option(default=("stdout",), help="Where the samples go; several with commas between.")
    interval: float = option(
        default=5.0, minimum=0.1, help="Seconds between two samples of a container; 1 or more through the engine."
    )
    collector: Literal["auto", "engine", "cgroup"] = option(
        default="auto", help="Who is asked for figures: the engine, the kernel's own files, or those where possible."
    )
    cgroup_root: str = option(
        name="cgroup.root", default="/sys/fs/cgroup", help="Where the cgroups of the engine's host are mounted."
    )
    proc_root: str = option(name="proc.root", default="/proc", help="Where /proc of the engine's host is mounted.")
    ignore: tuple[str, ...] = option(default=(), help="Exact names of containers to leave out, with commas between.")
    filter_include: tuple[str, ...] = option(
        name="filter.include",
        default=(),
        help="Sample only what matches: globs such as `web-*`, `image=nginx`, `label=team=core`, `state=running`.",
    )
    filter_exclude: tuple[str, ...] = option(
        name="filter.exclude",
        default=(),
        help="Leave out containers that match one of these globs, written as for `filter.include`.",
    )
    plugin: tuple[str, ...] = option(default=(), help="Repository classes of your own, each `file.py:Class`.")
    once: bool = option(default=False, help="Take one sample of every container, CPU included, and end.")
    demo: bool = option(default=False, help="Run against a simulated engine: no Docker needed.")
    mode: Literal["socket", "http"] | None = option(
        default=None, help="How the engine is reached; by default as the docker command would, see docs/engines.md."
    )
    socket_path: str | None = option(
        name="socket.path", default=None, help="The engine's socket; /var/run/docker.sock with --mode=socket."
    )
    http_address: str | None = option(
        name="http.address", default=None, help="The engine's `host:port`; localhost:2375 with --mode=http."
    )
    docker_host: str | None = option(
        name="docker.host", default=None, help="The engine's URL: unix://, tcp://, https:// or ssh://; as DOCKER_HOST."
    )
    docker_context: str | None = option(
        name="docker.context", default=None, help="The docker context that says where the engine is; as DOCKER_CONTEXT."
    )
    docker_tls: bool = option(
        name="docker.tls", default=False, help="Use TLS over TCP; implied by https:// and by the files below."
    )
    docker_tls_ca: str | None = option(
        name="docker.tls-ca", default=None, help="The file with the authority of the engine's certificate, PEM."
    )
    docker_tls_cert: str | None = option(
        name="docker.tls-cert", default=None, help="The file with our certificate for the engine, PEM."
    )
    docker_tls_key: str | None = option(
        name="docker.tls-key", default=None, help="The file with the key of that certificate, PEM, without a password."
    )
    docker_tls_verify: bool = option(
        name="docker.tls-verify", default=True, help="Check the engine's certificate and its name."
    )
    engine: tuple[str, ...] = option(
        default=(),
        help="Several engines at once, each `name=URL` as in `--docker.host`, or `name=context://NAME`; the name is "
        "the `host` of its samples.",
    )
    daemons: int | None = option(
        default=None,
        minimum=1,
        help="The most requests in flight to an engine; by default as many as the interval needs.",
    )
    host_name: str = option(
        name="host.name", default="", help="The `host` of every sample; by default the engine's own name."
    )
    health_address: str = option(
        name="health.address",
        default="",
        help="Serve /healthz, /readyz and /metrics about statspout itself at `host:port`.",
    )
    web_tls_cert: str | None = option(
        name="web.tls-cert",
        default=None,
        help="Serve HTTPS everywhere: the file with our certificate and its chain, PEM.",
    )
    web_tls_key: str | None = option(
        name="web.tls-key", default=None, help="The file with the key of that certificate, PEM, without a password."
    )
    web_token: str | None = option(
        name="web.token",
        default=None,
        secret=True,
        help="Answer only those who send it: `Authorization: Bearer TOKEN`.",
    )
    web_user: str | None = option(
        name="web.user",
        default=None,
        help="Answer only those who send this name and the password: basic authentication.",
    )
    web_password: str | None = option(name="web.password", default=None, secret=True, help="The password of that user.")
    listen_statsd: tuple[str, ...] = option(
        name="listen.statsd",
        default=(),
        help="Listen for StatsD at `:8125` (UDP and TCP), `udp://host:8125`, `tcp://host:8125`, `unix:///path`.",
    )
    listen_statsd_interval: float | None = option(
        name="listen.statsd-interval",
        default=None,
        minimum=0.1,
        maximum=86_400,
        help="Seconds over which what comes by StatsD is added up; by default `--interval`.",
    )
    listen_statsd_percentiles: tuple[str, ...] = option(
        name="listen.statsd-percentiles",
        default=("50", "90", "95", "99"),
        help="The percentiles of timers and histograms, such as `99.9`.",
    )
    listen_statsd_gauges: str = option(
        name="listen.statsd-gauges",
        default="1h",
        help="How long a gauge is repeated that nobody sets any more: `30s`, `1h`, `0`, `forever`.",
    )
    listen_statsd_max_series: int = option(
        name="listen.statsd-max-series",
        default=10_000,
        minimum=1,
        maximum=10_000_000,
        help="The most series of this interval and the last one; values of more are left out, and counted.",
    )
    listen_statsd_buffer: str = option(
        name="listen.statsd-buffer",
        default="4MiB",
        help="The kernel's buffer of each UDP socket; without root, at most `net.core.rmem_max`.",
    )
    listen_redis: str = option(
        name="listen.redis",
        default="",
        help="Read what applications record in Redis with `statspout.client.redis` or Aka Stats: "
        "`redis://user:password@host:port/0`, `rediss://` for TLS, or `unix:///path`.",
    )
    listen_redis_password: str | None = option(
        name="listen.redis-password", default=None, secret=True, help="The password, where the URL does not have it."
    )
    listen_redis_tls_ca: str | None = option(
        name="listen.redis-tls-ca",
        default=None,
        help="The file with the authority of that Redis' certificate, PEM.",
    )
    listen_redis_address: str = option(
        name="listen.redis-address",
        default="",
        help="Serve what is recorded there at `host:port`, under /api/v1, as Aka Stats does.",
    )
    listen_redis_namespace: str = option(
        name="listen.redis-namespace", default="AKA-STATS", help="What the keys of the statistics there begin with."
    )
    listen_redis_match: str = option(
        name="listen.redis-match", default="*", help="Only labels that match this glob of Redis, such as `errors__*`."
    )
    listen_redis_from: Literal["now", "oldest"] = option(
        name="listen.redis-from",
        default="now",
        help="Where to begin at the first look: with what is recorded from then on, or with all the histories there.",
    )
    listen_redis_interval: float | None = option(
        name="listen.redis-interval",
        default=None,
        minimum=0.1,
        maximum=86_400,
        help="Seconds between two looks; by default `--interval`.",
    )
    listen_redis_max_labels: int = option(
        name="listen.redis-max-labels",
        default=100_000,
        minimum=1,
        maximum=10_000_000,
        help="The most labels that are read; more are left out, and counted.",
    )
    listen_mmap: tuple[str, ...] = option(
        name="listen.mmap",
        default=(),
        help="Read statistics files that match a glob, such as `/run/stats/*.mmstats`; docs/mmap-stats.md.",
    )
    listen_mmap_interval: float | None = option(
        name="listen.mmap-interval",
        default=None,
        minimum=0.1,
        maximum=86_400,
        help="Seconds between two looks at them; by default `--interval`.",
    )
    listen_mmap_gauges: tuple[str, ...] = option(
        name="listen.mmap-gauges",
        default=(),
        help="Labels, or globs, of 64-bit numbers in them that are levels; all others without a sign are counts.",
    )
    listen_mmap_max_series: int = option(
        name="listen.mmap-max-series",
        default=100_000,
        minimum=1,
        maximum=10_000_000,
        help="The most series that are taken from them; files for which there is no room are left out, and counted.",
    )
    spool_dir: str = option(
        name="spool.dir",
        default="",
        help="Keep on disk, in this directory, what a repository could not store yet, and how far `listen.redis` came.",
    )
    spool_max_bytes: str = option(
        name="spool.max-bytes", default="1GiB", help="The most of it for each repository; the oldest samples go first."
    )
    spool_max_age: str = option(
        name="spool.max-age", default="7d", help="How long samples are kept there: `12h`, `7d`, `4w`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = option(
        name="log.level", default="info", help="The least level of the log lines on stderr."
    )
    log_format: Literal["text", "json"] = option(
        name="log.format", default="text", help="Log lines for people, or one JSON object a line."
    )
