import json

import pandas as pd


def test_evaluate_reads_what_predict_wrote(medicane, predicted, tmp_path):
    folder, _, _ = predicted
    truth = pd.DataFrame(
        {"track_id": ["a"], "time": ["2011-11-02 10:00"], "lat": [38], "lon": [18]}
    )
    truth.to_csv(tmp_path / "truth.csv", index=False)
    code, out, err = medicane(
        "evaluate", folder / "detections.csv", tmp_path / "truth.csv", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["sections"]["tiles and times"]["counts"]["n"] == 23
