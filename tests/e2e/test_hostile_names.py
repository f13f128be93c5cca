"""Names that could break SQL, TOML or templates pass through the whole path unchanged."""

import json

from markupsafe import escape

from tests.workspace import SMALL_MODEL, readings

TABLE = "or\"der; DROP TABLE models --'$$ 100% :id ü\\"
COLUMNS = {
    "flow": 'flow" = 1; --',
    "pressure": "${HOME} :pressure %s",
    "mode": "möde '\\ mode",
    "is_open": "$is open$ 是",
    "is_fault": 'is "known" fault',
    "read_at": "read at",
}


def test_hostile_names_pass_from_import_to_the_joined_view(workspace, database_url):
    url = database_url.get_secret_value()
    readings().rename(columns=COLUMNS).to_csv(workspace.folder / "r.csv", index=False)
    workspace.must("init", "first.toml", "--source", url)
    workspace.must("import", "r.csv", "--table", TABLE, "--into", url, "--config", "first.toml")
    workspace.must("init", "--table", TABLE, "--source", url)
    config = workspace.folder / "config.toml"
    name = "or_der_drop_table_models_100_id"
    text = config.read_text(encoding="utf-8").replace("sqlite:///plumbline.db", url)
    config.write_text(text + f"[monitors.{name}.model]\n{SMALL_MODEL}\n", encoding="utf-8")
    workspace.must("migrate")
    (finding,) = workspace.must("check", "--json").json[name]
    assert finding["message"].startswith("No index begins with (pump, read at)")
    trained = workspace.must("train", name, "--json").json
    assert trained["card"]["features"] == 3  # of a series: numbers and booleans
    flagged = workspace.must("score", name, "--json").json["anomalies"]
    anomalies = workspace.must("anomalies", "list", name, "--limit", "500", "--json").json
    assert len(anomalies) == flagged > 0
    assert {row["top_feature"] for row in anomalies} <= {*COLUMNS.values(), "pump"}
    joined = workspace.query(f"SELECT count(*), count(DISTINCT record_key) FROM {trained['join_view']}")
    assert joined == [(flagged, flagged)]
    assert json.dumps(COLUMNS["pressure"], ensure_ascii=False).replace("${", "$${") in text
    workspace.must("plot", name, "--out", "p.svg")
    workspace.must("report", name, "--incidents", "1")
    page = (workspace.folder / "report.html").read_text(encoding="utf-8")
    assert all(str(escape(column)) in page for name, column in COLUMNS.items() if name not in {"is_fault", "mode"})
    assert "<script" not in page
