//! The options of an address. Unknown ones are rejected.

use percent_encoding::percent_decode_str;

/// Option names of other libraries. Only these are printed: any other word may be part of a password.
const FOREIGN: &str = "\
    abortconnect addr auth backoff ca cert client_info client_name clientinfo clientname \
    command_timeout commandtimeout conn_max_idle_time conn_max_lifetime connect_timeout \
    connection_timeout connections connectretry connecttimeout database db decode_responses \
    defaultdatabase dial dial_timeout encoding family health_check_interval host idle_timeout \
    insecure keepalive keepalive_interval key lazyconnect master master_name mastername \
    max_active_conns max_connections max_idle_conns max_retries max_retry_backoff maxidle \
    maxretriesperrequest maxtotal min_idle_conns min_retry_backoff name namespace network pass \
    password pool_fifo pool_size pool_timeout poolsize port prefix protocol read_timeout \
    readonly readtimeout reconnect resp retries retry retry_attempts retry_on_timeout \
    retry_strategy role sentinel sentinel_password sentinel_user sentinel_username \
    sentinelmasterid sentinelpassword sentinels server_name servername service service_name \
    servicename skip_verify skipverify socket_connect_timeout socket_keepalive socket_timeout \
    sockettimeout ssl ssl_ca_cert ssl_ca_certs ssl_cert_reqs ssl_certfile ssl_check_hostname \
    ssl_keyfile ssl_min_version synctimeout timeout tls tls_insecure tlsinsecure tlsskipverify \
    unix_socket_path user username verify virtual_host write_timeout writetimeout";

/// The options that were not taken yet, decoded.
#[derive(Debug)]
pub(crate) struct Options(Vec<(String, String)>);

impl Options {
    /// Returns `None` if something is not UTF-8.
    pub(crate) fn parse(query: &str) -> Option<Self> {
        let decoded = |text| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
        let options = query.split('&').filter(|option| !option.is_empty());
        let options = options.map(|option| {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            Some((decoded(name)?, decoded(value)?))
        });
        options.collect::<Option<_>>().map(Self)
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(own, _)| own == name)?;
        Some(self.0.remove(index).1)
    }

    /// Returns an error if an option was not taken.
    pub(super) fn end(self) -> Result<(), String> {
        let Some((name, _)) = self.0.first() else {
            return Ok(());
        };
        let name = name.to_ascii_lowercase();
        Err(match FOREIGN.split(' ').find(|known| *known == name) {
            Some(name) => format!("the option `{name}` is unknown or repeated"),
            None => "it has an unknown option".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_option_name_is_printed() {
        let end = |query| Options::parse(query).unwrap().end();
        assert_eq!(end(""), Ok(()));
        assert!(end("Timeout=5").unwrap_err().contains("`timeout`"));
        assert!(!end("hush-hush=5").unwrap_err().contains("hush"));
        assert!(!end("timeout-hush-hush").unwrap_err().contains("timeout"));
    }

    #[test]
    fn a_repeated_option_is_rejected() {
        let mut options = Options::parse("db=1&db=2").unwrap();
        assert_eq!(options.take("db").as_deref(), Some("1"));
        assert!(options.end().is_err());
    }

    #[test]
    fn a_plus_is_not_decoded_as_a_space() {
        let mut options = Options::parse("pass=a+b%20c").unwrap();
        assert_eq!(options.take("pass").as_deref(), Some("a+b c"));
    }
}
