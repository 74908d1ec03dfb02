//! One client's connection: sixteen bytes each way, then requests in and frames out.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};
use zimg_protocol::frame::ErrorFrame;
use zimg_protocol::hello::{self, Hello};
use zimg_protocol::limits::{HELLO_TIMEOUT, NO_PROGRESS, TO_DAEMON_BYTES};
use zimg_protocol::{Failure, Frame, FrameError, Kind};

use crate::outbox::ClientId;
use crate::outbox::{Disconnected, Outbox};
use crate::supervisor::FromClient;

/// A connection without a job, on which nothing is asked for so long, is closed: its client has
/// forgotten it, or is stopped.
const IDLE: Duration = Duration::from_secs(60);
/// How long to leave the listener alone when the process has no descriptors left.
const NO_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(100);
/// Failing to accept is logged at most this often.
const LOG_PACE: Duration = Duration::from_secs(60);
/// A client that leaves this many frames untaken is not heard until it reads.
const UNTAKEN_MAX: usize = 16;

/// What the daemon calls itself when it speaks of versions.
const OURSELVES: &str = concat!("zimaged ", env!("CARGO_PKG_VERSION"));

/// ConnectionSlots for connections.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionSlots {
    all: usize,
    free: Arc<Semaphore>,
}

impl ConnectionSlots {
    /// So many, at least one.
    pub(crate) fn new(all: usize) -> Self {
        Self { all, free: Arc::new(Semaphore::new(all)) }
    }

    /// Of which one user may have three quarters, so that none can lock the others out.
    fn per_user(&self) -> usize {
        (self.all * 3 / 4).max(1)
    }

    /// Waits until every connection has written what it has to say.
    pub(crate) async fn all_free(&self) {
        let all = u32::try_from(self.all).unwrap_or(u32::MAX);
        let _ = self.free.acquire_many(all).await;
    }
}

/// Accepts clients until it is dropped; no error ends it.
pub(crate) async fn accept(
    listener: UnixListener,
    slots: ConnectionSlots,
    supervisor: mpsc::Sender<FromClient>,
) {
    let per_user = slots.per_user();
    let mut next: ClientId = 0;
    let mut logged = None;
    let mut users: HashMap<u32, Arc<Semaphore>> = HashMap::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                if logged.is_none_or(|at: tokio::time::Instant| at.elapsed() > LOG_PACE) {
                    tracing::warn!("cannot accept a client: {error}");
                    logged = Some(tokio::time::Instant::now());
                }
                tokio::time::sleep(NO_DESCRIPTORS_PAUSE).await;
                continue;
            }
        };
        next += 1;
        let Ok(peer) = stream.peer_cred() else { continue };
        users.retain(|_, own| own.available_permits() < per_user);
        let own = users.entry(peer.uid()).or_insert_with(|| Semaphore::new(per_user).into());
        let Ok(own) = Arc::clone(own).try_acquire_owned() else {
            refuse(&stream, &format!("you already have {per_user} connections to zimaged"));
            continue;
        };
        let Ok(slot) = Arc::clone(&slots.free).try_acquire_owned() else {
            refuse(&stream, &format!("zimaged already has {} connections", slots.all));
            continue;
        };
        let (id, supervisor) = (next, supervisor.clone());
        tokio::spawn(async move {
            match serve(id, stream, &supervisor).await {
                Ok(()) => tracing::debug!(client = id, "left"),
                Err(error) => tracing::debug!(client = id, "dropped: {error}"),
            }
            drop((slot, own));
        });
    }
}

/// Says why there is no slot, without waiting for the client to read it.
fn refuse(stream: &UnixStream, why: &str) {
    let failure = Failure::new(Kind::Busy, format!("{why}, try again later"));
    let mut frame = Vec::new();
    if Frame::Error(ErrorFrame::from(&failure)).write(&mut frame).is_ok() {
        // A fresh socket's buffer holds it; if not, closing says enough.
        let _ = stream.try_write(&frame);
    }
}

/// Why a connection was dropped.
#[derive(Debug, thiserror::Error)]
enum Dropped {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("it sent no hello in time")]
    NoHello,
    #[error("it does not speak zimg's protocol")]
    Foreign,
    #[error("it speaks protocols {} to {}", .0.min_major, .0.max_major)]
    Version(Hello),
    #[error("it asked nothing for {} s", IDLE.as_secs())]
    Idle,
    #[error("it took no byte for {} s", NO_PROGRESS.as_secs())]
    NoProgress,
    #[error("it takes its images too slowly")]
    TooSlow,
}

impl From<Disconnected> for Dropped {
    fn from(Disconnected: Disconnected) -> Self {
        Self::TooSlow
    }
}

async fn serve(
    id: ClientId,
    mut stream: UnixStream,
    supervisor: &mpsc::Sender<FromClient>,
) -> Result<(), Dropped> {
    greet(&mut stream).await?;
    let uid = stream.peer_cred()?.uid();
    let (read, mut write) = stream.into_split();
    let outbox = Outbox::default();
    // The supervisor ends only after all connections: were it gone, there is no one to serve.
    if supervisor.send(FromClient::Joined { id, uid, outbox: outbox.clone() }).await.is_err() {
        return Ok(());
    }
    let writer = write_frames(&outbox, &mut write);
    tokio::pin!(writer);
    let result = tokio::select! {
        written = &mut writer => written,
        heard = hear(id, read, &outbox, supervisor) => match heard {
            Ok(()) => Ok(()),
            Err(error) => {
                let kind = if matches!(error, Dropped::Idle) { Kind::Busy } else { Kind::Version };
                outbox.error(&Failure::new(kind, error.to_string()));
                writer.await.and(Err(error))
            }
        },
    };
    let _ = supervisor.send(FromClient::Left { id }).await;
    result
}

/// The frozen sixteen bytes each way.
async fn greet(stream: &mut UnixStream) -> Result<(), Dropped> {
    let mut bytes = [0; hello::BYTES];
    match timeout(HELLO_TIMEOUT, stream.read_exact(&mut bytes)).await {
        Ok(read) => read?,
        Err(_) => {
            let failure = Failure::new(Kind::Version, "there was no hello in time");
            last_word(stream, &failure).await?;
            return Err(Dropped::NoHello);
        }
    };
    let client = match Hello::from_bytes(bytes) {
        Ok(client) => client,
        Err(foreign) => {
            last_word(stream, &foreign.into()).await?;
            return Err(Dropped::Foreign);
        }
    };
    let welcome = Hello::OURS.negotiate(client);
    write_slowly(stream, &welcome.to_bytes()).await?;
    if welcome.major == 0 {
        last_word(stream, &hello::refusal(OURSELVES)).await?;
        return Err(Dropped::Version(client));
    }
    Ok(())
}

async fn last_word(stream: &mut UnixStream, failure: &Failure) -> Result<(), Dropped> {
    let mut frame = Vec::new();
    Frame::Error(ErrorFrame::from(failure)).write(&mut frame)?;
    write_slowly(stream, &frame).await
}

/// Takes frames' bodies out of what a client sends.
pub(crate) fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(TO_DAEMON_BYTES).new_codec()
}

/// Hands requests to the supervisor until the client goes (`Ok`), breaks the protocol or has long
/// been idle.
async fn hear(
    id: ClientId,
    read: OwnedReadHalf,
    outbox: &Outbox,
    supervisor: &mpsc::Sender<FromClient>,
) -> Result<(), Dropped> {
    let mut frames = FramedRead::new(read, codec());
    loop {
        let left = IDLE.saturating_sub(outbox.idle());
        let body = match timeout(left, frames.next()).await {
            Ok(Some(body)) => body,
            Ok(None) => return Ok(()),
            Err(_) if outbox.idle() >= IDLE => return Err(Dropped::Idle),
            Err(_) => continue,
        };
        let request = match Frame::decode(body?.freeze())? {
            Frame::Request(request) => request,
            other => return Err(FrameError::Kind(other.kind()).into()),
        };
        outbox.at_most(UNTAKEN_MAX).await;
        if supervisor.send(FromClient::Asked { id, request }).await.is_err() {
            // The daemon ends: what was promised is still written, nothing more is heard.
            std::future::pending::<()>().await;
        }
    }
}

/// Writes what the outbox gives until it ends.
async fn write_frames(
    outbox: &Outbox,
    write: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Dropped> {
    let mut head = Vec::new();
    while let Some(frame) = outbox.next().await? {
        head.clear();
        if let Frame::Pixels(pixels) = &frame {
            // Not copied: only its five bytes of head are.
            let length = u32::try_from(1 + pixels.len()).unwrap_or(u32::MAX);
            head.extend_from_slice(&length.to_be_bytes());
            head.push(frame.kind());
            write_slowly(write, &head).await?;
            write_slowly(write, pixels).await?;
        } else {
            frame.write(&mut head)?;
            write_slowly(write, &head).await?;
        }
    }
    Ok(())
}

/// Writes all, however long it takes, as long as each `NO_PROGRESS` takes at least a byte.
async fn write_slowly(
    write: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
) -> Result<(), Dropped> {
    while !bytes.is_empty() {
        let taken =
            timeout(NO_PROGRESS, write.write(bytes)).await.map_err(|_| Dropped::NoProgress)??;
        if taken == 0 {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        bytes = &bytes[taken..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_no_byte_for_thirty_seconds_is_dropped() {
        let (mut daemon, _client) = tokio::io::duplex(1024);
        let outbox = Outbox::default();
        outbox.pixels(Bytes::from_static(&[0; 4096]));
        let before = tokio::time::Instant::now();
        let dropped = write_frames(&outbox, &mut daemon).await.unwrap_err();
        assert!(matches!(dropped, Dropped::NoProgress), "{dropped}");
        assert_eq!(before.elapsed(), NO_PROGRESS);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_little_at_a_time_gets_all() {
        let (mut daemon, mut client) = tokio::io::duplex(1024);
        let outbox = Outbox::default();
        outbox.pixels(Bytes::from_static(&[7; 8192]));
        outbox.close();
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            let mut piece = [0; 512];
            loop {
                tokio::time::sleep(NO_PROGRESS / 2).await;
                match client.read(&mut piece).await.unwrap() {
                    0 => return all,
                    n => all.extend_from_slice(&piece[..n]),
                }
            }
        });
        write_frames(&outbox, &mut daemon).await.unwrap();
        drop(daemon);
        let all = reader.await.unwrap();
        assert_eq!(all[..5], [0, 0, 0x20, 0x01, 0x10]);
        assert_eq!(all[5..], [7; 8192]);
    }

    #[tokio::test]
    async fn who_finds_no_place_left_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (supervisor, _asked) = mpsc::channel(8);
        let slots = ConnectionSlots::new(4);
        let _others = slots.free.try_acquire_many(3).unwrap();
        tokio::spawn(accept(UnixListener::bind(&path).unwrap(), slots.clone(), supervisor));
        let mut first = UnixStream::connect(&path).await.unwrap();
        first.write_all(&Hello::OURS.to_bytes()).await.unwrap();
        first.read_exact(&mut [0; hello::BYTES]).await.unwrap();
        let mut second = UnixStream::connect(&path).await.unwrap();
        let mut frame = Vec::new();
        second.read_to_end(&mut frame).await.unwrap();
        let Some(Frame::Error(error)) = Frame::read(&mut &frame[..], 1024).unwrap() else {
            panic!("{frame:x?}");
        };
        assert_eq!(error.code, 75);
        assert_eq!(error.text, "zimaged already has 4 connections, try again later");
    }

    /// The first thing that the daemon sends after its Welcome, and when.
    async fn last_word_to(request: &[u8]) -> (Duration, ErrorFrame) {
        let (mut client, daemon) = UnixStream::pair().unwrap();
        let (supervisor, mut asked) = mpsc::channel(8);
        tokio::spawn(async move { serve(1, daemon, &supervisor).await });
        tokio::spawn(async move { while asked.recv().await.is_some() {} });
        client.write_all(&Hello::OURS.to_bytes()).await.unwrap();
        client.read_exact(&mut [0; hello::BYTES]).await.unwrap();
        client.write_all(request).await.unwrap();
        let before = tokio::time::Instant::now();
        let mut frame = Vec::new();
        client.read_to_end(&mut frame).await.unwrap();
        match Frame::read(&mut &frame[..], 1024).unwrap() {
            Some(Frame::Error(error)) => (before.elapsed(), error),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_nothing_or_never_ends_asking_is_sent_away() {
        for request in [&b""[..], b"\x00\x00\x10\x00\x01half a request"] {
            let (after, error) = last_word_to(request).await;
            assert_eq!(after, IDLE);
            assert_eq!((error.code, error.text.as_str()), (75, "it asked nothing for 60 s"));
        }
    }
}
