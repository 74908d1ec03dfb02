//! Client connections: accepting them within the limits, the hello, then requests in and frames out.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
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
use zimg_protocol::messages::{Generate, Request};
use zimg_protocol::{Failure, Frame, FrameError, Kind};

use crate::events;
use crate::image_input::{self, DescriptorStream, ExpectedImage, IMAGE_BYTES_MAX};
use crate::image_upload::{ImageUpload, WrongPixels};
use crate::outbox::{ClientId, Disconnected, Outbox};
use crate::owner::{Owner, Peer};
use crate::request_images::{ImageRoom, ReservedRoom};
use crate::supervisor::FromClient;

/// How long a connection without a job may be idle: its client is stopped, or has leaked it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause after a failed accept, such as without a free descriptor.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Failed accepts are logged at most this often.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// With this many unread frames, no further request is read from a client.
const UNREAD_FRAMES_MAX: usize = 16;

/// The daemon's name in messages about versions.
const PROGRAM: &str = concat!("zimaged ", env!("CARGO_PKG_VERSION"));

/// The slots that limit concurrent connections.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionSlots {
    all: usize,
    free: Arc<Semaphore>,
}

impl ConnectionSlots {
    /// This number of slots, at least one.
    pub(crate) fn new(all: usize) -> Self {
        Self { all, free: Arc::new(Semaphore::new(all)) }
    }

    /// How many of them one user may have: three quarters, so that no user can lock out the others.
    fn per_user(&self) -> usize {
        (self.all * 3 / 4).max(1)
    }

    /// Waits until every connection is closed.
    pub(crate) async fn all_free(&self) {
        let all = u32::try_from(self.all).unwrap_or(u32::MAX);
        let _ = self.free.acquire_many(all).await;
    }
}

/// Accepts clients until this future is dropped; no error ends it.
pub(crate) async fn accept(
    listener: UnixListener,
    slots: ConnectionSlots,
    supervisor: mpsc::Sender<FromClient>,
) {
    let room = ImageRoom::default();
    let per_user = slots.per_user();
    let mut next: ClientId = 0;
    let mut logged = None;
    let mut users: HashMap<u32, Arc<Semaphore>> = HashMap::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                if logged.is_none_or(|at: tokio::time::Instant| at.elapsed() > LOG_INTERVAL) {
                    tracing::warn!(
                        event = events::ACCEPT_FAILED,
                        "cannot accept a client: {error}"
                    );
                    logged = Some(tokio::time::Instant::now());
                }
                tokio::time::sleep(ACCEPT_RETRY).await;
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
        let (id, supervisor, room) = (next, supervisor.clone(), room.clone());
        tokio::spawn(async move {
            match serve(id, stream, &supervisor, &room).await {
                Ok(()) => tracing::debug!(event = events::CONNECTION_CLOSED, client = id, "closed"),
                Err(error) => {
                    tracing::debug!(
                        event = events::CONNECTION_DROPPED,
                        client = id,
                        "dropped: {error}"
                    );
                }
            }
            drop((slot, own));
        });
    }
}

/// Refuses a connection without waiting for the client to read why.
fn refuse(stream: &UnixStream, why: &str) {
    let failure = Failure::new(Kind::Busy, format!("{why}, try again later"));
    let mut frame = Vec::new();
    if Frame::Error(ErrorFrame::from(&failure)).write(&mut frame).is_ok() {
        // It fits into a new socket's buffer.
        let _ = stream.try_write(&frame);
    }
}

/// Why the daemon closes a connection.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("descriptors came beside something else than a request with images")]
    Descriptors,
    #[error(transparent)]
    Pixels(#[from] WrongPixels),
    #[error("no pixels of the request's images came for {} s", NO_PROGRESS.as_secs())]
    NoPixels,
    #[error("no hello within {} s", HELLO_TIMEOUT.as_secs())]
    NoHello,
    #[error("not a client of zimg's protocol")]
    Foreign,
    #[error("the client speaks protocols {} to {}", .0.min_major, .0.max_major)]
    Version(Hello),
    #[error("the connection was idle for {} s", IDLE_TIMEOUT.as_secs())]
    Idle,
    #[error("the client read nothing for {} s", NO_PROGRESS.as_secs())]
    NoProgress,
    #[error("the client reads its images too slowly")]
    TooSlow,
}

impl From<Disconnected> for ConnectionError {
    fn from(Disconnected: Disconnected) -> Self {
        Self::TooSlow
    }
}

async fn serve(
    id: ClientId,
    mut stream: UnixStream,
    supervisor: &mpsc::Sender<FromClient>,
    room: &ImageRoom,
) -> Result<(), ConnectionError> {
    handshake(&mut stream).await?;
    let credentials = stream.peer_cred()?;
    let peer = Peer { uid: credentials.uid(), gid: credentials.gid() };
    let (read, mut write) = stream.into_split();
    let outbox = Outbox::default();
    // The supervisor outlives all connections, except at shutdown.
    if supervisor.send(FromClient::Joined { id, peer, outbox: outbox.clone() }).await.is_err() {
        return Ok(());
    }
    let writer = write_frames(&outbox, &mut write);
    tokio::pin!(writer);
    let result = tokio::select! {
        written = &mut writer => written,
        received = receive((id, peer), read, &outbox, supervisor, room) => match received {
            Ok(()) => Ok(()),
            Err(error) => {
                let is_slow = matches!(error, ConnectionError::Idle | ConnectionError::NoPixels);
                let kind = if is_slow { Kind::Busy } else { Kind::Version };
                outbox.error(&Failure::new(kind, error.to_string()));
                writer.await.and(Err(error))
            }
        },
    };
    let _ = supervisor.send(FromClient::Left { id }).await;
    result
}

/// The hello: sixteen bytes each way.
async fn handshake(stream: &mut UnixStream) -> Result<(), ConnectionError> {
    let mut bytes = [0; hello::BYTES];
    match timeout(HELLO_TIMEOUT, stream.read_exact(&mut bytes)).await {
        Ok(read) => read?,
        Err(_) => {
            let failure = Failure::new(Kind::Version, "no hello came in time");
            send_error(stream, &failure).await?;
            return Err(ConnectionError::NoHello);
        }
    };
    let client = match Hello::from_bytes(bytes) {
        Ok(client) => client,
        Err(foreign) => {
            send_error(stream, &foreign.into()).await?;
            return Err(ConnectionError::Foreign);
        }
    };
    let welcome = Hello::OURS.negotiate(client);
    write_slowly(stream, &welcome.to_bytes()).await?;
    if welcome.major == 0 {
        send_error(stream, &hello::refusal(PROGRAM)).await?;
        return Err(ConnectionError::Version(client));
    }
    Ok(())
}

async fn send_error(stream: &mut UnixStream, failure: &Failure) -> Result<(), ConnectionError> {
    let mut frame = Vec::new();
    Frame::Error(ErrorFrame::from(failure)).write(&mut frame)?;
    write_slowly(stream, &frame).await
}

/// Splits what a client sends into frame bodies.
pub(crate) fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(TO_DAEMON_BYTES).new_codec()
}

/// Passes requests to the supervisor until the client closes the connection (`Ok`), violates the
/// protocol or is idle for too long.
async fn receive(
    (id, peer): (ClientId, Peer),
    read: OwnedReadHalf,
    outbox: &Outbox,
    supervisor: &mpsc::Sender<FromClient>,
    room: &ImageRoom,
) -> Result<(), ConnectionError> {
    let mut frames = FramedRead::new(DescriptorStream::new(read), codec());
    // The request whose images are coming.
    let mut upload: Option<ImageUpload> = None;
    // Bytes of images that may still come with the last request, which was refused.
    let mut refused_bytes: usize = 0;
    // Bytes of the frames so far.
    let mut end: u64 = 0;
    loop {
        let left = match &upload {
            Some(_) => NO_PROGRESS,
            None => IDLE_TIMEOUT.saturating_sub(outbox.idle()),
        };
        let body = match timeout(left, frames.next()).await {
            Ok(Some(body)) => body,
            Ok(None) => return Ok(()),
            Err(_) if upload.is_some() => return Err(ConnectionError::NoPixels),
            Err(_) if outbox.idle() >= IDLE_TIMEOUT => return Err(ConnectionError::Idle),
            Err(_) => continue,
        };
        let body = body?.freeze();
        end += 4 + body.len() as u64;
        let frame = Frame::decode(body);
        // Descriptors of no request with images; the frame that they belong to has ended here.
        let mut stray = || !frames.get_mut().of_frame(end).is_empty();
        if let (Some(coming), Ok(Frame::Image(pixels))) = (&mut upload, &frame) {
            if stray() {
                return Err(ConnectionError::Descriptors);
            }
            coming.add(pixels)?;
            if let Some(complete) = upload.take_if(|coming| coming.missing() == 0) {
                let message = FromClient::Submitted { id, job: complete.into_job() };
                pass_on(message, outbox, supervisor).await;
            }
            continue;
        }
        if let Some(abandoned) = upload.take() {
            refused_bytes = abandoned.missing();
            let failure = abandoned.abandoned();
            pass_on(FromClient::Refused { id, failure }, outbox, supervisor).await;
        }
        let message = match frame {
            Ok(Frame::Request(Request::Generate(request))) if !request.images.is_empty() => {
                let follow = image_input::may_follow(&request.images);
                let descriptors = frames.get_mut().take_all();
                // Until it is answered, however slowly its images come.
                outbox.expect_answer();
                let begun = match expect_images(&request, descriptors, peer, room) {
                    Ok((expected, room)) => ImageUpload::begin(request, expected, room).await,
                    Err(failure) => Err(failure),
                };
                refused_bytes = if begun.is_err() { follow } else { 0 };
                match begun {
                    Ok(complete) if complete.missing() == 0 => {
                        FromClient::Submitted { id, job: complete.into_job() }
                    }
                    Ok(begun) => {
                        upload = Some(begun);
                        continue;
                    }
                    Err(failure) => FromClient::Refused { id, failure },
                }
            }
            Ok(_) if stray() => return Err(ConnectionError::Descriptors),
            Ok(Frame::Image(pixels)) if (1..=refused_bytes).contains(&pixels.len()) => {
                refused_bytes -= pixels.len();
                continue;
            }
            Ok(Frame::Request(request)) => FromClient::Asked { id, request },
            Ok(other) => return Err(FrameError::Kind(other.kind()).into()),
            Err(FrameError::Refused(failure)) => {
                refused_bytes = IMAGE_BYTES_MAX;
                frames.get_mut().take_all();
                FromClient::Refused { id, failure: not_understood(failure) }
            }
            Err(error) => return Err(error.into()),
        };
        pass_on(message, outbox, supervisor).await;
    }
}

/// Where a request's images come from, and the room for them; or why it is refused before they come.
fn expect_images(
    request: &Generate,
    descriptors: Vec<OwnedFd>,
    peer: Peer,
    room: &ImageRoom,
) -> Result<(Vec<ExpectedImage>, ReservedRoom), Failure> {
    request.check_images()?;
    let expected = image_input::check(&request.images, descriptors)?;
    let owner = Owner::new(peer.uid, request.on_behalf_of.as_deref());
    let bytes = expected.iter().map(ExpectedImage::bytes).sum();
    Ok((expected, room.reserve(owner, bytes)?))
}

/// Passes a message to the supervisor once the client has read enough.
async fn pass_on(message: FromClient, outbox: &Outbox, supervisor: &mpsc::Sender<FromClient>) {
    outbox.at_most(UNREAD_FRAMES_MAX).await;
    if supervisor.send(message).await.is_err() {
        // At shutdown the remaining frames are written, and no request is read.
        std::future::pending::<()>().await;
    }
}

/// The answer to a request that this version does not take.
fn not_understood(mut failure: Failure) -> Failure {
    failure.message = format!("{PROGRAM} refuses the request: {}", failure.message);
    failure
}

/// Writes the frames of the outbox until it is closed.
async fn write_frames(
    outbox: &Outbox,
    write: &mut (impl AsyncWrite + Unpin),
) -> Result<(), ConnectionError> {
    let mut head = Vec::new();
    while let Some(frame) = outbox.next().await? {
        head.clear();
        if let Frame::Pixels(pixels) = &frame {
            // The pixels are not copied; only their head of five bytes is.
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

/// Writes all bytes, however long it takes, while at least one is written per `NO_PROGRESS`.
async fn write_slowly(
    write: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
) -> Result<(), ConnectionError> {
    while !bytes.is_empty() {
        let taken = timeout(NO_PROGRESS, write.write(bytes))
            .await
            .map_err(|_| ConnectionError::NoProgress)??;
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
    use zimg_protocol::messages::ImageSource;
    use zimg_protocol::messages::{ImageInput, ImageRole, Params};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_for_thirty_seconds_is_dropped() {
        let (mut daemon, _client) = tokio::io::duplex(1024);
        let outbox = Outbox::default();
        outbox.pixels(Bytes::from_static(&[0; 4096]));
        let before = tokio::time::Instant::now();
        let dropped = write_frames(&outbox, &mut daemon).await.unwrap_err();
        assert!(matches!(dropped, ConnectionError::NoProgress), "{dropped}");
        assert_eq!(before.elapsed(), NO_PROGRESS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_gets_everything() {
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
    async fn a_client_without_a_slot_is_refused_with_a_sentence() {
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

    /// The first frame after the Welcome, and when it comes.
    async fn first_error_after(request: &[u8]) -> (Duration, ErrorFrame) {
        let (mut client, daemon) = UnixStream::pair().unwrap();
        let (supervisor, mut asked) = mpsc::channel(8);
        tokio::spawn(async move { serve(1, daemon, &supervisor, &ImageRoom::default()).await });
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
    async fn a_connection_without_a_whole_request_is_closed_as_idle() {
        for request in [&b""[..], b"\x00\x00\x10\x00\x01half a request"] {
            let (after, error) = first_error_after(request).await;
            assert_eq!(after, IDLE_TIMEOUT);
            assert_eq!((error.code, error.text.as_str()), (75, "the connection was idle for 60 s"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_whose_images_stop_coming_is_given_up() {
        let role = ImageRole::Initial;
        let (layout, source) = (role.layout(), ImageSource::Inline);
        let image = ImageInput { role, layout, width: 64, height: 64, source };
        let request = Generate { images: vec![image], ..Generate::new(Params::new("a fox")) };
        let mut bytes = Vec::new();
        Frame::Request(Request::Generate(request)).write(&mut bytes).unwrap();
        Frame::Image(Bytes::from_static(&[7; 100])).write(&mut bytes).unwrap();
        let (after, error) = first_error_after(&bytes).await;
        assert_eq!(after, NO_PROGRESS);
        assert_eq!(error.code, 75);
        assert_eq!(error.text, "no pixels of the request's images came for 30 s");
    }
}
