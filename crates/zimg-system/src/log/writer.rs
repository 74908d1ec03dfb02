//! A log that never makes its callers wait: a bounded queue and a thread that writes.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::sink::{LogSink, Wait};

/// Bytes that may wait for the log: some thousands of lines.
const QUEUE_BYTES: usize = 1 << 20;

/// A log with its thread, or without one where none can be started.
#[derive(Clone, Debug)]
pub struct LogWriter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// A line waits.
    filled: Condvar,
    /// None waits, and none is being written.
    drained: Condvar,
    /// Called in the thread with the number of lost lines, when the log takes lines again.
    report: fn(u64),
}

#[derive(Debug)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The thread writes a line that it has taken.
    writing: bool,
    lost: u64,
    reported: u64,
    /// Where the callers write themselves, because there is no thread.
    direct: Option<LogSink>,
}

impl LogWriter {
    /// Starts the thread. `report` is called with the number of lost lines when the log takes lines
    /// again; what it logs is one more line.
    pub fn start(sink: LogSink, report: fn(u64)) -> Self {
        let queue = Queue {
            lines: VecDeque::new(),
            bytes: 0,
            writing: false,
            lost: 0,
            reported: 0,
            direct: None,
        };
        let (filled, drained) = (Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { queue: Mutex::new(queue), filled, drained, report });
        // The closure, and the sink with it, is lost if there is no thread.
        let sink = Arc::new(Mutex::new(Some(sink)));
        let (theirs, its_sink) = (Arc::clone(&shared), Arc::clone(&sink));
        let taken = move || its_sink.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = thread::Builder::new().name("log".to_owned());
        let started = thread.spawn(move || taken().into_iter().for_each(|sink| theirs.run(sink)));
        if started.is_err() {
            shared.hold().direct = sink.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        Self(shared)
    }

    /// Writes a line, or counts it as lost.
    pub fn push(&self, line: &[u8]) {
        let mut queue = self.0.hold();
        if let Some(sink) = &mut queue.direct {
            sink.write(line, Wait::Briefly);
            queue.lost = queue.direct.as_ref().map_or(0, LogSink::lost);
        } else if queue.bytes + line.len() > QUEUE_BYTES {
            queue.lost += 1;
        } else {
            queue.bytes += line.len();
            queue.lines.push_back(line.to_vec());
            self.0.filled.notify_one();
        }
    }

    /// How many lines were lost.
    pub fn lost(&self) -> u64 {
        self.0.hold().lost
    }

    /// Waits until all lines are written or lost, but not longer than `timeout`.
    pub fn flush(&self, timeout: Duration) {
        let waits = |queue: &mut Queue| queue.writing || !queue.lines.is_empty();
        let _ = self.0.drained.wait_timeout_while(self.0.hold(), timeout, waits);
    }
}

/// For `tracing_subscriber`: no write fails.
impl io::Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn hold(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread. It ends with the process.
    fn run(&self, mut sink: LogSink) {
        let empty = |queue: &mut Queue| queue.lines.is_empty();
        loop {
            let mut queue =
                self.filled.wait_while(self.hold(), empty).unwrap_or_else(PoisonError::into_inner);
            let Some(line) = queue.lines.pop_front() else { continue };
            queue.bytes -= line.len();
            queue.writing = true;
            drop(queue);
            let written = sink.write(&line, Wait::Forever);
            let mut queue = self.hold();
            queue.writing = false;
            queue.lost += u64::from(!written);
            if !queue.lines.is_empty() {
                continue;
            }
            // Reported once the log has caught up: a report for each line of a slow one would make
            // it slower.
            let unreported = queue.lost - queue.reported;
            if written && unreported > 0 {
                queue.reported = queue.lost;
                drop(queue);
                (self.report)(unreported);
            } else {
                drop(queue);
            }
            if self.hold().lines.is_empty() {
                self.drained.notify_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    fn pipe() -> (io::PipeReader, LogSink) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, LogSink::of(File::from(OwnedFd::from(writer))))
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let (mut reader, sink) = pipe();
        let log = LogWriter::start(sink, |_| {});
        for line in 0..100 {
            log.push(format!("{line}\n").as_bytes());
        }
        log.flush(SOON);
        let expected: String = (0..100).map(|line| format!("{line}\n")).collect();
        let mut found = vec![0; expected.len()];
        reader.read_exact(&mut found).unwrap();
        assert_eq!(String::from_utf8(found).unwrap(), expected);
        assert_eq!(log.lost(), 0);
    }

    #[test]
    fn a_log_that_is_not_read_neither_waits_nor_grows() {
        let (mut reader, sink) = pipe();
        let log = LogWriter::start(sink, |_| {});
        let line = [b'x'; 1024];
        // The pipe and the queue together hold less than this.
        for _ in 0..2048 {
            log.push(&line);
        }
        let lost = log.lost();
        assert!(lost > 512, "{lost}");
        assert!(log.0.hold().bytes <= QUEUE_BYTES);
        log.flush(Duration::from_millis(10));
        let reading = thread::spawn(move || {
            let mut rest = vec![0; (2048 - lost as usize) * line.len()];
            reader.read_exact(&mut rest).unwrap();
        });
        log.flush(SOON);
        reading.join().unwrap();
        assert_eq!(log.lost(), lost);
    }

    #[test]
    fn what_was_lost_is_reported_once_the_log_has_caught_up() {
        static REPORTED: Mutex<Option<mpsc::Sender<u64>>> = Mutex::new(None);
        let (sender, reported) = mpsc::channel();
        *REPORTED.lock().unwrap() = Some(sender);
        let report = |lost| REPORTED.lock().unwrap().as_ref().unwrap().send(lost).unwrap();
        let (mut reader, sink) = pipe();
        let log = LogWriter::start(sink, report);
        let line = [b'x'; 1024];
        for _ in 0..2048 {
            log.push(&line);
        }
        let lost = log.lost();
        let reading = thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        assert_eq!(reported.recv_timeout(SOON).unwrap(), lost);
        log.push(b"one more\n");
        log.flush(SOON);
        assert!(reported.try_recv().is_err(), "reported twice");
        drop(reading);
    }

    #[test]
    fn without_a_thread_the_callers_write_and_wait_briefly() {
        let (mut reader, sink) = pipe();
        let log = LogWriter::start(LogSink::of(File::open("/dev/null").unwrap()), |_| {});
        log.0.hold().direct = Some(sink);
        log.push(b"a line\n");
        log.flush(SOON);
        let mut found = [0; 7];
        reader.read_exact(&mut found).unwrap();
        assert_eq!(&found, b"a line\n");
        drop(reader);
        log.push(b"another\n");
        assert_eq!(log.lost(), 1);
    }
}
