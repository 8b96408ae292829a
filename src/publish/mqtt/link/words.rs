//! What went wrong on a connection, in words for people and in what the rest of the room has to know of it. No state.

use std::io::ErrorKind;

use rumqttc::{TlsError, v5};
use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error as Tls};

use super::{LinkError, five, three};

/// An error of MQTT 5.
pub(super) fn five(error: &v5::ConnectionError) -> LinkError {
    use v5::StateError as State;
    use v5::mqttbytes::v5::ConnectReturnCode as Code;
    let io = five::io_error(error);
    let tls = match error {
        v5::ConnectionError::Tls(error) => of_tls(error),
        _ => io.and_then(of_io),
    };
    let hung_up = tls.is_none()
        && match error {
            v5::ConnectionError::MqttState(
                State::ConnectionAborted | State::ServerDisconnect { .. } | State::Deserialization(_) | State::Io(_),
            )
            | v5::ConnectionError::Io(_) => io.is_none_or(|e| e.kind() != ErrorKind::ConnectionRefused),
            _ => false,
        };
    let unknown_protocol = tls.is_none()
        && match error {
            v5::ConnectionError::ConnectionRefused(code) => {
                matches!(code, Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion)
            }
            v5::ConnectionError::NotConnAck(_) => true,
            // An answer that MQTT 5 can't read, or none: the caller knows whether it had accepted us before.
            v5::ConnectionError::MqttState(State::ConnectionAborted | State::Deserialization(_)) => true,
            _ => false,
        };
    let words = match (tls, error) {
        (Some(tls), _) => tls,
        (None, v5::ConnectionError::ConnectionRefused(code)) => refusal(&format!("{code:?}")),
        (None, v5::ConnectionError::Timeout(_)) => SILENT.to_owned(),
        (None, v5::ConnectionError::MqttState(State::ServerDisconnect { reason_code, reason_string })) => {
            let why = reason_string.as_deref().map(|s| format!(": {s}")).unwrap_or_default();
            format!("the broker ended the connection ({reason_code:?}{why})")
        }
        (None, v5::ConnectionError::MqttState(State::ConnectionAborted)) => HUNG_UP.to_owned(),
        (None, other) => io.map_or_else(|| other.to_string(), socket),
    };
    LinkError { words, hung_up, unknown_protocol }
}

/// An error of MQTT 3.1.1.
pub(super) fn three(error: &rumqttc::ConnectionError) -> LinkError {
    use rumqttc::{ConnectionError, StateError as State};
    let io = three::io_error(error);
    let tls = match error {
        ConnectionError::Tls(error) => of_tls(error),
        _ => io.and_then(of_io),
    };
    let hung_up = tls.is_none()
        && match error {
            ConnectionError::MqttState(State::ConnectionAborted | State::Deserialization(_) | State::Io(_))
            | ConnectionError::Io(_) => io.is_none_or(|e| e.kind() != ErrorKind::ConnectionRefused),
            _ => false,
        };
    let words = match (tls, error) {
        (Some(tls), _) => tls,
        (None, ConnectionError::ConnectionRefused(code)) => refusal(&format!("{code:?}")),
        (None, ConnectionError::NetworkTimeout) => SILENT.to_owned(),
        (None, ConnectionError::MqttState(State::ConnectionAborted)) => HUNG_UP.to_owned(),
        (None, other) => io.map_or_else(|| other.to_string(), socket),
    };
    LinkError { words, hung_up, unknown_protocol: false }
}

const SILENT: &str = "nothing answered in time";
const HUNG_UP: &str = "the broker closed the connection";

fn refusal(code: &str) -> String {
    let mend = match code {
        "BadUserNamePassword" | "NotAuthorized" => "; check the user name, the password and the broker's access rules",
        "RefusedProtocolVersion" | "UnsupportedProtocolVersion" => "; mqtt.version = \"auto\" would try MQTT 3.1.1",
        _ => "",
    };
    format!("the broker refused the connection ({code}){mend}")
}

fn socket(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "nobody listens there (connection refused)".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof | ErrorKind::ConnectionAborted => {
            format!("{HUNG_UP} ({})", error.kind())
        }
        _ => error.to_string(),
    }
}

fn of_tls(error: &TlsError) -> Option<String> {
    match error {
        TlsError::TLS(error) => Some(tls(error)),
        TlsError::Io(error) => of_io(error),
        TlsError::DNSName(_) => {
            Some("the broker's address can be no certificate's name; give mqtt.host as its certificate has it".to_owned())
        }
        other => Some(other.to_string()),
    }
}

fn of_io(error: &std::io::Error) -> Option<String> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()).map(tls)
}

fn tls(error: &Tls) -> String {
    let refused = |why: &str| format!("the broker refused our certificate: {why}");
    match error {
        Tls::AlertReceived(alert) => match alert {
            Alert::CertificateExpired => refused("it has expired"),
            Alert::CertificateRevoked => refused("it was revoked"),
            Alert::UnknownCA => refused("it does not know the CA that issued it"),
            Alert::CertificateRequired | Alert::NoCertificate => {
                "the broker wants a certificate of us; give mqtt.certificate and mqtt.key".to_owned()
            }
            Alert::BadCertificate | Alert::UnsupportedCertificate | Alert::CertificateUnknown | Alert::AccessDenied => {
                refused(&format!("{alert:?}"))
            }
            Alert::DecryptError => refused("its key did not sign what it should"),
            Alert::ProtocolVersion => {
                "the broker does not speak TLS 1.3, and nothing older is used; let it offer TLS 1.3".to_owned()
            }
            Alert::HandshakeFailure => "the broker and we have no cipher in common".to_owned(),
            other => format!("the broker ended the TLS handshake ({other:?})"),
        },
        Tls::InvalidCertificate(why) => match why {
            Certificate::UnknownIssuer => {
                "the broker's certificate leads to no CA that we trust; mqtt.ca must hold the one that issued it".to_owned()
            }
            Certificate::Expired | Certificate::ExpiredContext { .. } => {
                format!("the broker's certificate has expired, or our clock is wrong: {why}")
            }
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                format!("the broker's certificate is not valid yet, or our clock is wrong: {why}")
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                format!("the broker's certificate is for another name than mqtt.host: {why}")
            }
            other => format!("the broker's certificate can't be trusted: {other}"),
        },
        Tls::PeerIncompatible(why) => {
            format!("the broker does not speak TLS 1.3 as we do, and nothing older is used ({why:?})")
        }
        Tls::InvalidMessage(_) => "what answers there speaks no TLS; is it the broker's plain port?".to_owned(),
        other => format!("TLS: {other}"),
    }
}
