"""Instructions by source file, out of what callgrind writes.

The format is that of Valgrind's manual, "Callgrind Format Specification": names are told once, where their
number comes first, which may be at a call; the line behind `calls=` is the cost of what is called.
"""

from tools.instructions import costs

WRITTEN = """\
# callgrind format
events: Ir
fl=(1) /src/one.rs
fn=(1) first
16 400
cfi=(2) /src/two.rs
cfn=(2) second
calls=3 50
+1 350
* 5
fi=(2)
+2 20
fe=(1)
-1 7
fl=(2)
fn=(2) second
50 300
fl=(3) /src/three.rs
fn=(3) third
1 9
totals: 741
"""


def test_each_file_has_its_own_cost_and_none_of_what_it_calls() -> None:
    assert costs(WRITTEN) == {"/src/one.rs": 412, "/src/two.rs": 320, "/src/three.rs": 9}
