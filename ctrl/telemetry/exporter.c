/* SPDX-License-Identifier: BSD-3-Clause */
/* ob-exporter: serves a card's counters to a scraper. It needs no privilege but access to the card bus. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ob_telemetry.h"

#define DEFAULT_BUS	"/run/outboard/card.sock"
#define DEFAULT_LISTEN	"127.0.0.1:9469"
#define BUS_TIMEOUT_MS	5000
#define MAX_CONNECTIONS 16

static const char index_page[] =
    "<!doctype html><title>Outboard exporter</title><h1>Outboard exporter</h1>"
    "<p><a href=\"/metrics\">/metrics</a>: the card's counters (OpenMetrics)</p>\n";

static void usage(FILE *to)
{
	fprintf(to,
	    "ob-exporter: serve the counters of an Outboard card as OpenMetrics\n\n"
	    "usage: ob-exporter [--bus PATH] [--listen ADDRESS:PORT]\n\n"
	    "  -b, --bus PATH             card bus (default: $OB_BUS or " DEFAULT_BUS ")\n"
	    "  -l, --listen ADDRESS:PORT  where to serve (default " DEFAULT_LISTEN
	    "; IPv6 as [ADDRESS]:PORT;\n"
	    "                             port 0: any, printed at start)\n"
	    "  -h, --help                 this text\n\n"
	    "GET /metrics asks the card anew each time. 503 while the card does not answer.\n");
}

static enum MHD_Result answer(struct MHD_Connection *conn, unsigned status, const char *type,
    char *body, enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(strlen(body), body, mode);
	enum MHD_Result ret;

	if (r == NULL) {
		if (mode == MHD_RESPMEM_MUST_FREE)
			free(body);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	ret = MHD_queue_response(conn, status, r);
	MHD_destroy_response(r);
	return ret;
}

static enum MHD_Result answer_text(
    struct MHD_Connection *conn, unsigned status, const char *type, const char *body)
{
	char *copy = strdup(body);

	return copy == NULL ? MHD_NO : answer(conn, status, type, copy, MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result serve_metrics(struct MHD_Connection *conn, const char *bus)
{
	struct ob_client *c;
	char text[256], *page;
	int ret = ob_client_open(bus, BUS_TIMEOUT_MS, &c);

	if (ret < 0) {
		snprintf(text, sizeof(text), "no card serves %s: %s\n", bus, strerror(-ret));
		return answer_text(conn, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain", text);
	}
	ret = ob_telemetry_page(c, &page);
	if (ret < 0)
		snprintf(
		    text, sizeof(text), "the card did not answer: %.200s\n", ob_client_error(c));
	ob_client_close(c);
	if (ret < 0)
		return answer_text(conn, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain", text);
	return answer(conn, MHD_HTTP_OK, OB_TELEMETRY_CONTENT_TYPE, page, MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *conn, const char *url,
    const char *method, const char *version, const char *data, size_t *data_len, void **state)
{
	static int seen;

	(void)version;
	(void)data;
	if (*state == NULL) { /* headers only: wait until the request is whole */
		*state = &seen;
		return MHD_YES;
	}
	*data_len = 0;
	if (strcmp(method, "GET") != 0)
		return answer_text(conn, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", "only GET\n");
	if (strcmp(url, "/metrics") == 0)
		return serve_metrics(conn, ctx);
	if (strcmp(url, "/") == 0)
		return answer_text(conn, MHD_HTTP_OK, "text/html; charset=utf-8", index_page);
	return answer_text(conn, MHD_HTTP_NOT_FOUND, "text/plain", "try /metrics\n");
}

static int parse_listen(const char *text, struct sockaddr_storage *ss, socklen_t *len)
{
	char host[INET6_ADDRSTRLEN + 2];
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;
	struct sockaddr_in *s4 = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *s6 = (struct sockaddr_in6 *)ss;
	char *end;
	unsigned long port;

	if (colon == NULL || n == 0 || n >= sizeof(host))
		return -EINVAL;
	port = strtoul(colon + 1, &end, 10);
	if (*end != 0 || end == colon + 1 || port > 65535)
		return -EINVAL;
	memset(ss, 0, sizeof(*ss));
	if (text[0] == '[' && text[n - 1] == ']') {
		memcpy(host, text + 1, n - 2);
		host[n - 2] = 0;
		s6->sin6_family = AF_INET6;
		s6->sin6_port = htons((uint16_t)port);
		*len = sizeof(*s6);
		return inet_pton(AF_INET6, host, &s6->sin6_addr) == 1 ? 0 : -EINVAL;
	}
	memcpy(host, text, n);
	host[n] = 0;
	s4->sin_family = AF_INET;
	s4->sin_port = htons((uint16_t)port);
	*len = sizeof(*s4);
	return inet_pton(AF_INET, host, &s4->sin_addr) == 1 ? 0 : -EINVAL;
}

static int serve(const char *bus, const char *listen_text)
{
	struct sockaddr_storage ss;
	const union MHD_DaemonInfo *info;
	struct MHD_Daemon *d;
	socklen_t len;
	sigset_t set;
	int sig;

	if (parse_listen(listen_text, &ss, &len) < 0) {
		fprintf(stderr, "ob-exporter: --listen '%s' is not ADDRESS:PORT\n", listen_text);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(
	    SIG_BLOCK, &set, NULL); /* before the daemon's thread exists: it inherits the mask */
	d = MHD_start_daemon(
	    MHD_USE_INTERNAL_POLLING_THREAD | (ss.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0), 0,
	    NULL, NULL, on_request, (void *)(uintptr_t)bus, MHD_OPTION_SOCK_ADDR, &ss,
	    MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, 10u,
	    MHD_OPTION_END);
	if (d == NULL) {
		fprintf(stderr,
		    "ob-exporter: cannot listen on %s: %s; choose another with --listen\n",
		    listen_text, strerror(errno));
		return 1;
	}
	info = MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT);
	fprintf(stderr, "ob-exporter: ready (%s, port %u, card bus %s)\n", listen_text,
	    info ? info->port : 0, bus);
	sigwait(&set, &sig);
	MHD_stop_daemon(d);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"bus", required_argument, NULL, 'b'},
	    {"listen", required_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'}, {0}};
	const char *bus = getenv("OB_BUS"), *listen_text = DEFAULT_LISTEN;
	int opt;

	if (bus == NULL)
		bus = DEFAULT_BUS;
	while ((opt = getopt_long(argc, argv, "b:l:h", longs, NULL)) != -1) {
		switch (opt) {
		case 'b':
			bus = optarg;
			break;
		case 'l':
			listen_text = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "ob-exporter: unexpected '%s'\n", argv[optind]);
		return 2;
	}
	return serve(bus, listen_text);
}
