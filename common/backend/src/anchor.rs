//! The record of published checkpoints as a small text file: a title line, then one line for each log with size,
//! root in hexadecimal, and origin. Kept on another disk than the database it also survives the loss of that disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use common_engine::{Anchor, AnchorError, Published};
use tokio::sync::Mutex;

use crate::durable;

const TITLE: &str = "sigbox published checkpoints 1";

/// An [`Anchor`] in a file.
#[derive(Debug)]
pub struct FileAnchor {
    path: PathBuf,
    /// What the file holds, by origin, once it was read.
    heads: Mutex<Option<BTreeMap<String, Published>>>,
}

impl FileAnchor {
    /// The record at `path`; the file need not exist, its folder must.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            heads: Mutex::new(None),
        }
    }

    fn error(&self, reason: impl ToString) -> AnchorError {
        AnchorError {
            path: self.path.display().to_string(),
            reason: reason.to_string(),
        }
    }

    async fn read(&self) -> Result<BTreeMap<String, Published>, AnchorError> {
        match tokio::fs::read_to_string(&self.path).await {
            Ok(text) => parse(&text).map_err(|line| self.error(format!("line {line} is not understood"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(self.error(error)),
        }
    }
}

#[async_trait]
impl Anchor for FileAnchor {
    async fn load(&self) -> Result<Vec<Published>, AnchorError> {
        let heads = self.read().await?;
        let list = heads.values().cloned().collect();
        *self.heads.lock().await = Some(heads);
        Ok(list)
    }

    async fn advance(&self, published: &[Published]) -> Result<(), AnchorError> {
        let mut known = self.heads.lock().await;
        let current = match known.as_ref() {
            Some(heads) => heads.clone(),
            None => self.read().await?,
        };
        let mut heads = current.clone();
        for head in published {
            // A log that is not served now keeps its line, and no line ever goes back.
            if heads
                .get(&head.origin)
                .is_none_or(|recorded| recorded.size < head.size)
            {
                heads.insert(head.origin.clone(), head.clone());
            }
        }
        if heads != current || known.is_none() {
            // Unknown until written: a failed write may have replaced the file.
            *known = None;
            let (path, text) = (self.path.clone(), render(&heads));
            let written =
                tokio::task::spawn_blocking(move || durable::write(Path::new(&path), text.as_bytes()));
            written
                .await
                .map_err(|error| self.error(error))?
                .map_err(|error| self.error(error))?;
        }
        *known = Some(heads);
        Ok(())
    }
}

fn render(heads: &BTreeMap<String, Published>) -> String {
    let lines = heads
        .values()
        .map(|head| format!("{} {} {}\n", head.size, head.root, head.origin));
    std::iter::once(format!("{TITLE}\n")).chain(lines).collect()
}

/// The heads, or the number of the line that is wrong.
fn parse(text: &str) -> Result<BTreeMap<String, Published>, usize> {
    let mut lines = text.split_terminator('\n').enumerate();
    if lines.next().is_none_or(|(_, line)| line != TITLE) || !text.ends_with('\n') {
        return Err(1);
    }
    let mut heads = BTreeMap::new();
    for (number, line) in lines {
        let head = parse_line(line).ok_or(number.saturating_add(1))?;
        heads.insert(head.origin.clone(), head);
    }
    Ok(heads)
}

fn parse_line(line: &str) -> Option<Published> {
    let (size, rest) = line.split_once(' ')?;
    let (root, origin) = rest.split_once(' ')?;
    Some(Published {
        origin: origin.to_owned(),
        size: size.parse().ok()?,
        root: root.parse().ok()?,
    })
}

#[cfg(test)]
mod tests;
