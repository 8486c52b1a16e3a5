use super::*;
use indoc::indoc;

fn series(figures: &[f64]) -> Series {
    Series::of(figures.iter().copied()).unwrap()
}

/// Of three launches that take about so long.
fn boot(milliseconds: u64) -> Measurements {
    let runs = [0, 1, 2].map(|more| (milliseconds + more, 0));
    Measurements::of_milliseconds(&runs)
}

fn idle(pss: f64, wakeups: f64) -> Idle {
    Idle {
        pss: series(&[pss]),
        rss: series(&[pss * 2.0]),
        private_dirty: series(&[pss / 10.0]),
        wakeups: series(&[wakeups]),
        cpu: series(&[wakeups * 400.0]),
    }
}

/// A report in which all that has a goal takes `share` of it.
fn report(share: f64) -> Report {
    let around = |goal: f64| series(&[goal * share * 0.9, goal * share, goal * share * 1.0]);
    let now_and_then = |goal: f64| series(&[goal * 0.5, goal * 0.5, goal * share]);
    Report {
        runs: 3,
        processors: 4,
        boots: Boots {
            none: boot(100),
            empty: boot(110),
            ours: boot(100 + if share > 1.0 { 41 } else { 30 }),
            bash: boot(140),
            ours_skipped: boot(116),
            bash_skipped: boot(120),
        },
        lives: Lives {
            booting: around(BOOTING),
            later: around(LATER),
            restart: now_and_then(RESTART),
            bash_restart: series(&[900.0, 1000.0, 1000.0]),
            end: now_and_then(END),
        },
        supervisor: idle(PSS * share, WAKEUPS * share),
        bash_loop: idle(2000.0, 0.0),
        sizes: Sizes {
            launch: 1_000_000 + if share > 1.0 { SIZE + 1 } else { SIZE },
            empty: 1_000_000,
        },
    }
}

fn tables(text: &str) -> String {
    let blocks = text.split("\n\n");
    let tables: Vec<&str> = blocks.filter(|block| block.starts_with('|')).collect();
    tables.join("\n\n") + "\n"
}

#[test]
fn report_reads_well() {
    let text = report(1.0).to_string();
    for words in [
        "shared machine with 4 processors",
        "3 launches of each, in turn.",
        "3 lives of the app with each, 10 side by side",
        "watched side by side for 20 seconds in 3 lives",
        "The next agent starts after 0.20 (0.20–0.40) of the loop's time.",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(
        tables(&text),
        indoc! {"
            | ms            |                 launch |               added |
            |---------------|------------------------|---------------------|
            | no exec.d     | 101.00 (100.00–102.00) |                     |
            | empty         | 111.00 (110.00–112.00) | 10.00 (10.00–10.00) |
            | ours          | 131.00 (130.00–132.00) | 30.00 (30.00–30.00) |
            | bash          | 141.00 (140.00–142.00) | 40.00 (40.00–40.00) |
            | ours, skipped | 117.00 (116.00–118.00) | 16.00 (16.00–16.00) |
            | bash, skipped | 121.00 (120.00–122.00) | 20.00 (20.00–20.00) |

            | added                 | ratio |     range |                        goal |
            |-----------------------|-------|-----------|-----------------------------|
            | ours : bash           |  0.75 | 0.75–0.75 |    ≤ 1.00 met, aim 0.75 met |
            | ours : bash, skipped  |  0.80 | 0.80–0.80 | ≤ 1.00 met, aim 0.75 missed |
            | ours : empty          |  3.00 | 3.00–3.00 |                             |
            | ours, skipped : empty |  1.60 | 1.60–1.60 |                             |

            | ms                              |                median |    max |             goal |
            |---------------------------------|-----------------------|--------|------------------|
            | listen(2) to agent, within 10 s |      25.0 (22.5–25.0) |   25.0 |  median ≤ 25 met |
            | listen(2) to agent, later       |   150.0 (135.0–150.0) |  150.0 | median ≤ 150 met |
            | agent's SIGKILL to next agent   |   200.0 (200.0–400.0) |  400.0 |   each ≤ 400 met |
            | the same with the loop in bash  | 1000.0 (900.0–1000.0) | 1000.0 |                  |
            | app's SIGTERM to nothing left   |      25.0 (25.0–50.0) |   50.0 |    each ≤ 50 met |

            |                     |             supervisor |           loop in bash | ratio |                 goal |
            |---------------------|------------------------|------------------------|-------|----------------------|
            | PSS, KiB            | 1433.6 (1433.6–1433.6) | 2000.0 (2000.0–2000.0) |  0.72 | median ≤ 1.4 MiB met |
            | RSS, KiB            | 2867.2 (2867.2–2867.2) | 4000.0 (4000.0–4000.0) |  0.72 |                      |
            | private dirty, KiB  |    143.4 (143.4–143.4) |    200.0 (200.0–200.0) |  0.72 |     median ≤ 160 met |
            | wakeups in a second |          1.0 (1.0–1.0) |          0.0 (0.0–0.0) |       |       median ≤ 1 met |
            | CPU in an hour, ms  |    400.0 (400.0–400.0) |          0.0 (0.0–0.0) |       |                      |

            | kB                               |   size |      goal |
            |----------------------------------|--------|-----------|
            | launch program                   | 1300.0 |           |
            | empty program, packaged as it is | 1000.0 |           |
            | difference                       |  300.0 | ≤ 300 met |
        "}
    );
}

#[test]
fn missed_goals_are_said() {
    let text = report(1.01).to_string();
    let missed = [
        "≤ 1.00 missed, aim 0.75 missed",
        "median ≤ 25 missed",
        "median ≤ 150 missed",
        "each ≤ 400 missed",
        "each ≤ 50 missed",
        "median ≤ 1.4 MiB missed",
        "median ≤ 1 missed",
        "≤ 300 missed",
    ];
    for goal in missed {
        assert!(text.contains(goal), "{goal}: {text}");
    }
    // 1.01 of the 143 KiB above.
    assert!(text.contains("median ≤ 160 met"), "{text}");
}
