"""The table of made-up figures. Run by `cargo test -p tests --test tidy`, or `python3 -B -m unittest -v` in this folder."""

import unittest

import table

LIMITS = {"processor": "a processor", "cores": 2, "kernel": "6", "p256_sign_us": 25.0, "p256_verify_us": 75.0,
          "rsa2048_verify_us": 20.0, "fdatasync_per_second": 4600.0}


def run(rate, p50, cpu, errors=None, wrong=None):
    return {"per_second": rate, "p50_ms": p50, "p99_ms": 2 * p50, "server_cpu_ms": cpu, "server_peak_mib": 40.0,
            "errors": errors or {}, "wrong": wrong}


def found(**sides):
    return {"load_before": 0.1, "seconds": 4, "rounds": 3, "limits": LIMITS,
            "runs": [{"work": "v2", "clients": 32, **sides}]}


def lines(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]


class Table(unittest.TestCase):
    def test_ratios_are_of_medians(self):
        ours = [run(3000.0, 10.0, 0.15), run(9000.0, 1.0, 9.0), run(6000.0, 5.0, 0.15)]
        peer = [run(32.0, 1000.0, 1.5)] * 3
        head, rule, theirs, mine = lines(table.markdown(found(ours=ours, peer=peer)))
        self.assertEqual([len(head)] * 3, [len(rule), len(theirs), len(mine)])
        self.assertEqual(theirs[:4], ["Rekor v2 write", "32", "rekor-tiles 2.3.0", "32"])
        # 6,000 of 3,000, 6,000 and 9,000; 1,000 over 5; 1.5 over 0.15; 0.15 ms where one verification takes 0.075.
        self.assertEqual(mine[2:5], ["**sigbox**", "6,000", "5.00"])
        self.assertEqual(mine[-4:], ["188×", "200×", "10×", "2.0×"])

    def test_without_a_peer_there_are_no_ratios(self):
        (*_, mine) = lines(table.markdown(found(ours=[run(3000.0, 10.0, None)])))
        self.assertEqual(mine[0], "Rekor v2 write")
        self.assertEqual(mine[-4:], ["", "", "", ""])
        self.assertIn("n/a", mine)

    def test_errors_and_wrong_answers_show(self):
        ours = [run(3000.0, 10.0, 0.1, {"503": 2, "timeout": 1}), run(3000.0, 10.0, 0.1, wrong="not signed")]
        (*_, mine) = lines(table.markdown(found(ours=ours)))
        self.assertEqual(mine[3], "3,000 (3 errors, wrong answers)")


if __name__ == "__main__":
    unittest.main()
