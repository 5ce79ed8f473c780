//! Capture files as one stream of frames, in the order given.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use super::pcap::{Pcap, Reading};
use super::pcapng::PcapNg;
use super::stream::Stream;
use super::{Burst, FrameSpan, KernelCounts, Next, Source, SourceError, FILE_BURST};

enum Format {
    Classic(Pcap),
    Ng(PcapNg),
}

struct Open {
    path: String,
    stream: Stream,
    format: Format,
}

/// Capture files read one after the other: pcap and pcapng, plain, gzip or zstd; `-` is standard input.
pub struct CaptureFiles {
    /// Not yet opened, the next one last.
    waiting: Vec<String>,
    open: Option<Open>,
    frames: Vec<FrameSpan>,
    consumed: usize,
    interfaces: Vec<String>,
    read: Arc<AtomicU64>,
    total: Option<u64>,
    clamped: u64,
    warnings: Vec<String>,
    limit: u64,
}

impl CaptureFiles {
    /// Open the first file and look at the head of each other one, so that a path that is no capture
    /// is told before any work is done.
    ///
    /// # Errors
    /// A path that cannot be read or is no capture.
    pub fn open(paths: &[String]) -> Result<CaptureFiles, SourceError> {
        let scratch = Arc::new(AtomicU64::new(0));
        for path in paths.iter().skip(1).filter(|path| *path != "-") {
            open_one(path, &scratch)?;
        }
        let total = paths
            .iter()
            .map(|path| if path == "-" { None } else { std::fs::metadata(path).ok().map(|meta| meta.len()) })
            .sum();
        let read = Arc::new(AtomicU64::new(0));
        let mut waiting: Vec<String> = paths.to_vec();
        waiting.reverse();
        let open = match waiting.pop() {
            Some(path) => Some(open_one(&path, &read)?),
            None => None,
        };
        Ok(CaptureFiles {
            waiting,
            open,
            frames: Vec::with_capacity(FILE_BURST),
            consumed: 0,
            interfaces: vec!["capture".into()],
            read,
            total,
            clamped: 0,
            warnings: Vec::new(),
            limit: u64::MAX,
        })
    }

    /// Read at most so many bytes of each file, unpacked; one that has more is told in a warning.
    #[must_use]
    pub fn at_most(mut self, bytes: u64) -> CaptureFiles {
        self.limit = bytes;
        if let Some(open) = &mut self.open {
            open.stream.limit(bytes);
        }
        self
    }

    /// Bytes read so far; shared, so that a progress bar can look without asking the worker.
    pub fn read_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }
}

fn open_one(path: &str, read: &Arc<AtomicU64>) -> Result<Open, SourceError> {
    let shown = if path == "-" { "standard input" } else { path };
    let mut stream = Stream::open(path, read)?;
    let format = if let Some(classic) = Pcap::open(&mut stream) {
        Format::Classic(classic)
    } else if let Some(ng) = PcapNg::open(&mut stream) {
        Format::Ng(ng)
    } else {
        let head = stream.window();
        let what = if let Some(fault) = stream.fault() {
            format!("cannot be decompressed: {fault}")
        } else if head.is_empty() {
            "is empty".into()
        } else {
            let shown: Vec<String> = head.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            format!("is not a pcap or pcapng capture (it starts with {})", shown.join(" "))
        };
        return Err(SourceError(format!("{shown}: {what}")));
    };
    Ok(Open { path: shown.to_string(), stream, format })
}

impl Source for CaptureFiles {
    fn interfaces(&self) -> &[String] {
        &self.interfaces
    }

    fn next_burst(&mut self) -> Result<Next<'_>, SourceError> {
        loop {
            let Some(open) = &mut self.open else { return Ok(Next::End) };
            open.stream.consume(std::mem::take(&mut self.consumed));
            self.frames.clear();
            let reading = match &mut open.format {
                Format::Classic(classic) => classic.read(&mut open.stream, &mut self.frames),
                Format::Ng(ng) => ng.read(&mut open.stream, &mut self.frames, &mut self.clamped),
            };
            match reading {
                Reading::More(consumed) => {
                    self.consumed = consumed;
                    if !self.frames.is_empty() {
                        break;
                    }
                }
                Reading::End | Reading::Cut(_) => {
                    if let Reading::Cut(what) = reading {
                        let what = open.stream.fault().map_or(what, |fault| format!("cannot be read further: {fault}"));
                        self.warnings.push(format!("{}: {what}; counted as far as it goes", open.path));
                    }
                    self.open = match self.waiting.pop() {
                        Some(path) => Some(open_one(&path, &self.read)?),
                        None => None,
                    };
                    if let Some(open) = &mut self.open {
                        open.stream.limit(self.limit);
                    }
                }
            }
        }
        let memory = self.open.as_ref().map_or(&[][..], |open| open.stream.memory().0);
        Ok(Next::Frames(Burst { frames: &self.frames, memory }))
    }

    fn clock(&self) -> Option<i64> {
        None
    }

    fn kernel_counts(&mut self) -> Vec<KernelCounts> {
        Vec::new()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.read.load(Ordering::Relaxed), self.total)
    }

    fn clamped_times(&self) -> u64 {
        self.clamped
    }

    fn finish(&mut self) {
        self.waiting.clear();
        self.open = None;
    }

    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}
