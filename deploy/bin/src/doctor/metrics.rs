//! The findings for Prometheus, in a file: text exposition format 0.0.4, as node_exporter's textfile collector reads it.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::doctor::report::Report;
use crate::output;

/// Replaces the file in one step, so that no reader sees half of it. Whoever may read the folder may read it.
pub(crate) fn write(path: &Path, report: &Report, now: SystemTime, took: Duration) -> io::Result<()> {
    output::replace(path, text(report, now, took).as_bytes())
}

fn text(report: &Report, now: SystemTime, took: Duration) -> String {
    let mut out = "# HELP sigbox_canary_link_sound Whether the canary found this link sound; links that could not be examined are 0, \
                   frozen logs have no line.\n# TYPE sigbox_canary_link_sound gauge\n"
        .to_owned();
    for (link, sound) in report.sound() {
        let link = link.label();
        out.push_str(&format!(
            "sigbox_canary_link_sound{{link=\"{link}\"}} {}\n",
            u8::from(sound)
        ));
    }
    let at = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    out.push_str(&format!(
        "# HELP sigbox_canary_time_seconds When the canary was sent, in Unix time.\n# TYPE sigbox_canary_time_seconds gauge\n\
         sigbox_canary_time_seconds {at}\n\
         # HELP sigbox_canary_duration_seconds How long it was under way.\n# TYPE sigbox_canary_duration_seconds gauge\n\
         sigbox_canary_duration_seconds {}\n",
        took.as_secs_f64()
    ));
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use super::*;
    use crate::doctor::report::{Link, broken};

    #[test]
    fn each_link_has_its_line_and_the_file_is_exchanged() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sigbox.prom");
        let mut report = Report::default();
        report.record(Link::Tuf, Ok(((), "fine".to_owned())));
        report.record::<()>(Link::Fulcio, Err(broken("no", "look")));
        report.skip::<()>(Link::Ct, Link::Fulcio);
        report.frozen::<()>(Link::RekorV1);
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for _ in 0..2 {
            write(&file, &report, now, Duration::from_millis(1_500)).unwrap();
        }
        let said = fs::read_to_string(&file).unwrap();
        for line in [
            "sigbox_canary_link_sound{link=\"tuf\"} 1",
            "sigbox_canary_link_sound{link=\"fulcio\"} 0",
            "sigbox_canary_link_sound{link=\"ct\"} 0",
            "sigbox_canary_time_seconds 1800000000",
            "sigbox_canary_duration_seconds 1.5",
        ] {
            assert!(said.lines().any(|one| one == line), "{line}\n{said}");
        }
        assert!(!said.contains("rekor-v1"), "{said}");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left behind"
        );
    }

    #[test]
    fn nothing_is_left_behind_where_the_file_cannot_be_exchanged() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sigbox.prom");
        fs::create_dir(&file).unwrap();
        let written = write(&file, &Report::default(), UNIX_EPOCH, Duration::ZERO);
        assert!(written.is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
