import json


def test_simulate_replaces_a_store_only_when_told(medicane, tmp_path):
    store = tmp_path / "a.zarr"
    arguments = ("simulate", "--out", store, "--hours", "0")
    store.mkdir()
    (store / "old").touch()
    code, _, err = medicane(*arguments)
    assert code == 2
    assert "exists" in err
    code, out, err = medicane(*arguments, "--overwrite", "--json")
    assert code == 0, err
    assert json.loads(out)["frames"] == 1
    assert not (store / "old").exists()
    assert not list(tmp_path.glob(".*"))
