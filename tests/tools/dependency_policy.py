#!/usr/bin/env python3
"""Checks the dependencies against deny.toml, and that every direct one has its reason written above it.

    dependency_policy.py [--self-test]

Reads the part of cargo-deny's format that deny.toml uses, and refuses keys that it does not know, so that no rule is
silently ignored. Needs nothing but Python 3.11 and cargo. Exits 1 and lists every violation when there are any.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
KNOWN_KEYS = {
    "graph": {"targets"},
    "licenses": {"allow"},
    "bans": {"multiple-versions", "wildcards", "allow-wildcard-paths", "deny"},
    "sources": {"unknown-registry", "unknown-git", "allow-registry"},
}
DEPENDENCY_TABLES = ("dependencies", "dev-dependencies", "build-dependencies")


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    policy = read_policy((ROOT / "deny.toml").read_text())
    metadata = json.loads(cargo("metadata", "--format-version", "1", "--locked"))
    problems = []
    notes = set()
    for target in policy["graph"]["targets"]:
        tree = cargo_tree(target)
        problems += check_graph(tree, metadata, policy)
        notes.add(versions_note(tree))
    problems += check_reasons({str(path.relative_to(ROOT)): path.read_text() for path in manifests()})
    for note in sorted(notes):
        print(f"note: {note}")
    return report(sorted(set(problems)))


def report(problems):
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    print(f"dependency policy: {len(problems)} problems" if problems else "dependency policy: ok")
    return 1 if problems else 0


# Policy


class PolicyError(Exception):
    pass


def read_policy(text):
    """deny.toml as a dictionary with every table and key present."""
    policy = tomllib.loads(text)
    for table, content in policy.items():
        if table not in KNOWN_KEYS:
            raise PolicyError(f"deny.toml: this tool does not know [{table}]")
        if unknown := set(content) - KNOWN_KEYS[table]:
            raise PolicyError(f"deny.toml: this tool does not know {sorted(unknown)} in [{table}]")
    for table, keys in KNOWN_KEYS.items():
        if missing := keys - set(policy.get(table, {})):
            raise PolicyError(f"deny.toml: {sorted(missing)} missing in [{table}]")
    for table, key, value in (
        ("bans", "multiple-versions", "warn"),
        ("bans", "wildcards", "deny"),
        ("bans", "allow-wildcard-paths", True),
        ("sources", "unknown-registry", "deny"),
        ("sources", "unknown-git", "deny"),
    ):
        if policy[table][key] != value:
            raise PolicyError(f"deny.toml: this tool knows only {key} = {value!r} in [{table}]")
    for ban in policy["bans"]["deny"]:
        if set(ban) != {"crate", "reason"}:
            raise PolicyError(f"deny.toml: a ban names a crate and a reason, got {ban}")
    return policy


# The graph


def cargo(*arguments):
    return subprocess.run(("cargo", *arguments), cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout


def cargo_tree(target):
    """What is compiled for a target: `cargo metadata` also lists what no enabled feature needs."""
    return cargo(
        "tree", "--workspace", "--locked", "--target", target, "--edges", "normal,build,dev",
        "--prefix", "depth", "--format", " {p}",
    )  # fmt: skip


def compiled(tree):
    """(name, version) of every package in the output of cargo_tree, each with the one that led to it first."""
    parents = {}
    above = []
    for line in tree.splitlines():
        if match := re.match(r"(\d+) (\S+) v(\S+)", line):
            depth = int(match[1])
            package = (match[2], match[3])
            parents.setdefault(package, above[depth - 1] if depth else None)
            above[depth:] = [package]
    return parents


def check_graph(tree, metadata, policy):
    """Violations of licences, bans and sources by what is compiled for one target."""
    parents = compiled(tree)
    allowed = set(policy["licenses"]["allow"])
    banned = {ban["crate"]: ban["reason"] for ban in policy["bans"]["deny"]}
    registries = {f"registry+{url}" for url in policy["sources"]["allow-registry"]}
    packages = {}
    for package in metadata["packages"]:
        packages.setdefault((package["name"], package["version"]), []).append(package)
    problems = []
    for identity in parents:
        name = " ".join(identity)
        if identity[0] in banned:
            chain = " <- ".join(chain_of(identity, parents))
            problems.append(f"{identity[0]} is banned ({banned[identity[0]]}): {chain}")
        for package in packages[identity]:
            problems += [f"{name} {problem}" for problem in package_problems(package, metadata, allowed, registries)]
    return problems


def package_problems(package, metadata, allowed, registries):
    licence = package["license"]
    if licence is None:
        yield "states no licence"
    else:
        try:
            if not is_allowed(licence, allowed):
                yield f"has the licence `{licence}`, which deny.toml does not allow"
        except ValueError as error:
            yield f"has the licence `{licence}`: {error}"
    if package["id"] in metadata["workspace_members"]:
        for dependency in package["dependencies"]:
            if dependency["req"] == "*" and dependency["source"] is not None:
                yield f"depends on any version of {dependency['name']}"
    elif package["source"] not in registries:
        yield f"comes from {package['source'] or package['manifest_path']}, not from crates.io"


def chain_of(identity, parents):
    while identity is not None:
        yield identity[0]
        identity = parents[identity]


def versions_note(tree):
    names = [name for name, _ in compiled(tree)]
    several = sorted({name for name in names if names.count(name) > 1})
    return f"in several versions: {', '.join(several)}"


# SPDX licence expressions


def is_allowed(expression, allowed):
    """Whether an SPDX expression can be met with the allowed licences alone; `/` is the old spelling of OR.

    Raises ValueError when the expression does not parse.
    """
    tokens = re.findall(r"[()/]|[A-Za-z0-9.+:-]+", expression)
    if "".join(tokens) != re.sub(r"\s+", "", expression):
        raise ValueError("unexpected character")
    position = 0

    def peek():
        return tokens[position] if position < len(tokens) else None

    def take():
        nonlocal position
        token = peek()
        position += 1
        return token

    def either():
        met = both()
        while peek() in ("OR", "/"):
            take()
            right = both()
            met = met or right
        return met

    def both():
        met = single()
        while peek() == "AND":
            take()
            right = single()
            met = met and right
        return met

    def single():
        token = take()
        if token == "(":
            met = either()
            if take() != ")":
                raise ValueError("missing )")
            return met
        if token in (None, ")", "/", "AND", "OR", "WITH"):
            raise ValueError("a licence is missing")
        if peek() == "WITH":
            take()
            token = f"{token} WITH {take()}"
        return token in allowed

    met = either()
    if peek() is not None:
        raise ValueError(f"`{peek()}` is not expected")
    return met


# Reasons in the manifests


def manifests():
    """The workspace's manifests: the root's and those of its members."""
    root = tomllib.loads((ROOT / "Cargo.toml").read_text())
    yield ROOT / "Cargo.toml"
    for member in root["workspace"]["members"]:
        yield from sorted(path / "Cargo.toml" for path in ROOT.glob(member))


def check_reasons(texts):
    """Direct dependencies without a comment in the line above.

    One that is inherited from the workspace needs it in one of its places: there, or where it is used.
    """
    problems = []
    inherited = {}
    explained = set()
    for path, text in texts.items():
        for table, name, has_reason, from_workspace in entries(text):
            if has_reason:
                explained.add(name)
            elif from_workspace or table == "workspace.dependencies":
                inherited.setdefault(name, f"{path}: [{table}] {name}")
            else:
                problems.append(f"{path}: [{table}] {name} has no reason in a comment above it")
    for name, place in inherited.items():
        if name not in explained:
            problems.append(f"{place} has no reason in a comment above any of its uses")
    return problems


def entries(text):
    """(table, name, has a comment right above, is inherited from the workspace) of each dependency of a manifest."""
    manifest = tomllib.loads(text)
    tables = {}
    for kind in DEPENDENCY_TABLES:
        tables[kind] = manifest.get(kind, {})
        for target, content in manifest.get("target", {}).items():
            tables[f"target.{target}.{kind}"] = content.get(kind, {})
    tables["workspace.dependencies"] = manifest.get("workspace", {}).get("dependencies", {})

    seen = set()
    table = None
    previous = ""
    for line in text.splitlines():
        stripped = line.strip()
        if header := re.fullmatch(r"\[([^\[\]]+)\](\s*#.*)?", stripped):
            table = re.sub(r"""["']|\s""", "", header[1])
            names = [name for name in tables if table.startswith(f"{name.replace(chr(34), '')}.")]
            if names:  # [dependencies.NAME]
                name = table.removeprefix(f"{names[0]}.")
                if name in tables[names[0]]:
                    seen.add((names[0], name))
                    yield entry(names[0], name, tables[names[0]][name], previous)
        elif match := re.match(r"""["']?([A-Za-z0-9_-]+)["']?\s*[.=]""", stripped):
            owner = next((name for name in tables if re.sub(r"""["']|\s""", "", name) == table), None)
            if owner and match[1] in tables[owner] and (owner, match[1]) not in seen:
                seen.add((owner, match[1]))
                yield entry(owner, match[1], tables[owner][match[1]], previous)
        previous = stripped
    for owner, content in tables.items():
        for name in content:
            if (owner, name) not in seen:
                raise PolicyError(f"cannot find the line of {name} in [{owner}]: write it as `{name} = …`")


def entry(table, name, value, line_above):
    from_workspace = isinstance(value, dict) and value.get("workspace") is True
    return table, name, re.match(r"#.*\w", line_above) is not None, from_workspace


# Self-test


def self_test():
    """Shows that each kind of violation is found, and that what is right passes."""
    allowed = {"MIT", "Apache-2.0", "ISC", "Apache-2.0 WITH LLVM-exception"}
    for expression, expected in {
        "MIT": True,
        "GPL-3.0-only": False,
        "MIT OR GPL-3.0-only": True,
        "MIT AND GPL-3.0-only": False,
        "GPL-3.0-only OR MIT AND ISC": True,
        "(GPL-3.0-only OR MIT) AND ISC": True,
        "(GPL-3.0-only OR MIT) AND AGPL-3.0-or-later": False,
        "MIT/Apache-2.0": True,
        "Apache-2.0 WITH LLVM-exception": True,
        "MIT WITH LLVM-exception": False,
        "GPL-2.0-only WITH Classpath-exception-2.0 OR MIT": True,
    }.items():
        expect(f"licence {expression}", is_allowed(expression, allowed), expected)
    for broken in ("", "MIT OR", "(MIT", "MIT ISC", "MIT)", "AND", "MIT & ISC"):
        try:
            is_allowed(broken, allowed)
        except ValueError:
            continue
        raise AssertionError(f"licence `{broken}` was accepted")

    policy_text = """
        [graph]
        targets = ["x"]
        [licenses]
        allow = ["MIT"]
        [bans]
        multiple-versions = "warn"
        wildcards = "deny"
        allow-wildcard-paths = true
        deny = [{ crate = "ring", reason = "no" }]
        [sources]
        unknown-registry = "deny"
        unknown-git = "deny"
        allow-registry = ["https://good"]
    """
    policy = read_policy(policy_text)
    for broken in (
        policy_text + 'allow-git = ["https://x"]',
        policy_text + '[advisories]\nversion = 2',
        policy_text.replace('unknown-git = "deny"', 'unknown-git = "allow"'),
        policy_text.replace('allow = ["MIT"]', ""),
        policy_text.replace(', reason = "no"', ""),
    ):
        try:
            read_policy(broken)
        except PolicyError:
            continue
        raise AssertionError(f"policy was accepted:{broken}")

    tree = "0 ours v1.0.0 (/work)\n1 middle v1.0.0 (proc-macro)\n2 leaf v1.0.0\n1 middle v1.0.0 (proc-macro) (*)\n"
    without_leaf = tree.replace("2 leaf v1.0.0\n", "")
    expect("good graph", check_graph(tree, graph(), policy), [])
    for change, words in (
        ({"license": "GPL-3.0-only"}, "does not allow"),
        ({"license": None}, "states no licence"),
        ({"license": "MIT OR"}, "a licence is missing"),
        ({"source": "git+https://good"}, "comes from git+https://good"),
        ({"source": "registry+https://other"}, "comes from registry+https://other"),
        ({"source": None}, "comes from /elsewhere/Cargo.toml"),
    ):
        found = check_graph(tree, graph(leaf=change), policy)
        expect(f"{change} gives one problem", len(found), 1)
        expect(f"{change} is explained by `{words}` in {found}", words in found[0], True)
        expect(f"{change} where it is not compiled", check_graph(without_leaf, graph(leaf=change), policy), [])
    banned = tree.replace("leaf", "ring")
    expect("ban", check_graph(banned, graph("ring"), policy), ["ring is banned (no): ring <- middle <- ours"])
    expect("wildcard", check_graph(tree, graph(req="*"), policy), ["ours 1.0.0 depends on any version of middle"])

    head = "[package]\nname = 'x'\n"
    for manifest, count in (
        ("[dependencies]\n# For this.\na = '1'\n", 0),
        ("[dependencies]\na = '1'\n", 1),
        ("[dependencies]\n# For this.\na = '1'\nb = '1'\n", 1),
        ("[dependencies]\n# For this.\n\na = '1'\n", 1),
        ("[dependencies]\n#\na = '1'\n", 1),
        ("[dev-dependencies]\na = { version = '1' }\n", 1),
        ("[build-dependencies]\na.version = '1'\n", 1),
        ("[target.'cfg(unix)'.dependencies]\na = '1'\n", 1),
        ("[target.'cfg(unix)'.dependencies]\n# For this.\na = '1'\n", 0),
        ("[dependencies.a]\nversion = '1'\n", 1),
        ("# For this.\n[dependencies.a]\nversion = '1'\n", 0),
        ("[dependencies]\na = { workspace = true }\n", 1),
        ("[dependencies]\n# For this.\na.workspace = true\n[dev-dependencies]\na.workspace = true\n", 0),
        ("[workspace.dependencies]\na = '1'\n", 1),
        ("[workspace.dependencies]\n# For this.\na = '1'\n[dependencies]\na.workspace = true\n", 0),
    ):
        expect(f"reasons in {manifest!r}", len(check_reasons({"Cargo.toml": head + manifest})), count)
    print("dependency policy: self-test ok")
    return 0


def graph(leaf_name="leaf", leaf=None, req="^1"):
    """Metadata of `ours`, which needs `middle`, which needs a leaf."""
    registry = "registry+https://good"

    def package(name, **changes):
        plain = {"id": name, "name": name, "version": "1.0.0", "license": "MIT", "source": registry, "dependencies": []}
        return plain | {"manifest_path": "/elsewhere/Cargo.toml"} | changes

    needs = [{"name": "middle", "req": req, "source": registry}, {"name": "path", "req": "*", "source": None}]
    ours = package("ours", source=None, dependencies=needs)
    return {"packages": [ours, package("middle"), package(leaf_name, **(leaf or {}))], "workspace_members": ["ours"]}


def expect(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
