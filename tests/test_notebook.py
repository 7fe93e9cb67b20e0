from conftest import make_mixed_table
from sklearn import config_context

from skcmanp import CMANPRegressor


def test_a_card_tells_what_was_read(model):
    frame = make_mixed_table().rename(columns={"hour": "<hour>"})
    reg = CMANPRegressor(model)
    assert "What it has read" not in reg._repr_html_()
    reg.partial_fit(frame[["<hour>", "level"]], frame["y"]).decay(0.5)
    for html in (reg._repr_html_(), reg._repr_mimebundle_()["text/html"]):
        assert "<td>custom, SHA-256" in html
        assert "<td>100, worth 50 now</td>" in html
        assert "<td>2: &lt;hour&gt;, level</td>" in html
        assert f"<td>{reg.context_.nbytes:,} bytes</td>" in html
    with config_context(display="text"):
        assert list(reg._repr_mimebundle_()) == ["text/plain"]


def test_a_card_tells_what_the_first_rows_fixed():
    frame = make_mixed_table()
    html = CMANPRegressor().partial_fit(frame[["hour", "level", "trust"]], frame["y"])._repr_html_()
    assert "trend, " in html
    assert "inducing points" in html
    assert "not there yet" in html
