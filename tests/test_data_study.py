"""A study of data alone, for real: data, report, MLflow and both engines end well."""

from conftest import TINY


def test_a_study_without_experiments_makes_its_data_and_a_report_and_both_engines_are_idle(make_clone):
    data = {"jaffe": {"source": "synthetic", "samples": 42, "protocols": ["stratified_70_15_15"]}}
    clone = make_clone(TINY | {"experiments": {}, "datasets": data})
    ran = clone.run("snakemake --cores 2 all").stdout
    assert "recorded in dvc.lock" in ran and "Traceback" not in ran
    assert "This study has data only, no experiments." in (clone.folder / "reports/results.md").read_text()
    assert "jaffe.faces.png" in (clone.folder / "reports/results.md").read_text()
    idle = "snakemake: nothing to do\ndvc:       nothing to do\n"
    assert idle in clone.run("python workflow/scripts/engines.py check").stdout
    assert "0 runs in MLflow" in clone.run("fer track").stdout
