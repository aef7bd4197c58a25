"""Writes the Python package's API as HTML (pdoc), and fails when something public has no docstring: ``undocumented.py FOLDER``."""

import pathlib
import sys

import pdoc
import pdoc.doc


def missing(of: pdoc.doc.Namespace) -> list[str]:
    """Every public class, method and function below that says nothing; what is inherited says it where it is from."""
    found = []
    for member in of.own_members:
        if member.name.startswith("_") or isinstance(member, pdoc.doc.Variable):
            continue
        if not member.docstring.strip() and member.taken_from[0].startswith("ossai"):
            found.append(member.fullname)
        if isinstance(member, pdoc.doc.Class):
            found += missing(member)
    return found


module = pdoc.doc.Module.from_name("ossai")
undocumented = missing(module)
for name in undocumented:
    print(f"FAIL {name} has no documentation")
pdoc.render.configure(docformat="restructuredtext")
pdoc.pdoc("ossai", output_directory=pathlib.Path(sys.argv[1]))
sys.exit(bool(undocumented))
