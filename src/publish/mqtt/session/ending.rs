//! How an epoch comes to its end: a broker that has gone silent, certificates that were renewed, a preferred broker that answers,
//! a stop; and the goodbye. Net thread, no waiting but in [`looked`].

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::super::options::Transport;
use super::super::route;
use super::super::tls::{Fingerprint, Identity};
use super::{End, Epoch, Parting, Ticket};

/// Before a silent broker is given up, its socket is looked at once more: it may be us who did not look for a while.
const LAST_LOOK: Duration = Duration::from_millis(100);
/// Time for the broker to close the connection after our goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// A look for a preferred broker.
pub(super) type Look = Pin<Box<dyn Future<Output = Option<usize>> + Send>>;

/// Why an epoch is brought to an end, and how far that has come.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) then: Parting,
    pub(super) until: Instant,
    pub(super) disconnecting: bool,
}

impl Epoch<'_> {
    /// When a broker that has said nothing is given up: within 1.5 times the keep-alive, the last look included. A broker that is
    /// there answers a ping once a keep-alive.
    pub(super) fn silence_due(&self) -> Instant {
        self.heard + self.keep_alive * 7 / 5 + if self.silent { LAST_LOOK } else { Duration::ZERO }
    }

    /// What time alone brings about.
    pub(super) fn watch(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.since.is_none() {
            return Ok(());
        }
        if now >= self.silence_due() {
            if self.silent {
                let silence = now.saturating_duration_since(self.heard).as_secs_f32();
                return Err(End::Ours(format!("the broker has said nothing for {silence:.1} s")));
            }
            self.silent = true;
        }
        if let Some((_, was)) = self.certificates.filter(|(at, _)| *at <= now && self.leaving.is_none()) {
            self.look_at_certificates(was, now);
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = Some(now + self.route.look_every(self.desk.options.broker.prefer_again));
            self.look.get_or_insert_with(|| Box::pin(route::find(self.route.preferred())));
        }
        Ok(())
    }

    /// Takes renewed certificates into use: whole and fitting sets only, the rest may be half written.
    pub(super) fn look_at_certificates(&mut self, was: Fingerprint, now: Instant) {
        let next = now + self.desk.options.broker.certificate_check;
        let Transport::Tls(files) = &self.desk.options.broker.transport else { return };
        let is = files.fingerprint().unwrap_or_default();
        self.certificates = Some((next, is));
        if is == was {
            return;
        }
        match Identity::load(files) {
            Ok(_) => {
                tracing::info!("the certificate files have changed; connecting anew with them");
                self.leave(Parting::Renew);
            }
            Err(fault) => {
                tracing::warn!(%fault, "the certificate files have changed and can't be used; going on with the old ones")
            }
        }
    }

    /// No new rows; wait for what is in flight, and go.
    pub(super) fn leave(&mut self, then: Parting) {
        let until = Instant::now() + self.desk.options.drain;
        // Whoever is on the way to the same broker comes back at once: it need not hear of it.
        let is_gone = !matches!(then, Parting::Renew);
        self.leaving = Some(Leaving { then, until, disconnecting: false });
        if is_gone {
            let presence = self.desk.options.presence.clone();
            self.publish_live(&presence.topic, &presence.schema, presence.offline, None, Ticket::Latest);
        }
    }

    /// On the way out: goodbye as soon as nothing is in flight any more, or it is too late for that.
    pub(super) fn drain(&mut self, now: Instant) -> Result<(), End> {
        let is_idle = self.queued.is_empty() && self.by_packet.is_empty();
        let Some(Leaving { until, disconnecting, .. }) = &mut self.leaving else { return Ok(()) };
        if !*disconnecting && (now >= *until || is_idle) {
            *disconnecting = true;
            *until = now + GOODBYE;
            self.release();
            if self.link.disconnect().is_err() {
                return Err(self.left());
            }
        } else if *disconnecting && now >= *until {
            return Err(self.left());
        }
        Ok(())
    }

    pub(super) fn left(&mut self) -> End {
        End::Left(self.leaving.take().map_or(Parting::Stopped, |l| l.then))
    }
}

/// Waits for the look to end, for ever when there is none.
pub(super) async fn looked(look: &mut Option<Look>) -> Option<usize> {
    match look {
        Some(look) => look.await,
        None => std::future::pending().await,
    }
}
