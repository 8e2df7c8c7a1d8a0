/* libwebsockets: lws_server PORT. An echo of whole messages, without extensions, as its minimal examples are written: what cannot
   be sent yet waits in a list. */
#include <libwebsockets.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct message {
  struct message *next;
  size_t length;
  int binary;
  unsigned char *bytes; /* behind LWS_PRE bytes for the library */
};

struct connection {
  struct message *first, *last;
  unsigned char *incoming; /* of the message that has not ended */
  size_t length, capacity;
};

static void receive(struct lws *socket, struct connection *connection, void *bytes, size_t length) {
  if (connection->length + length > connection->capacity) {
    connection->capacity = (connection->length + length) * 2;
    connection->incoming = realloc(connection->incoming, connection->capacity + LWS_PRE);
  }
  if (length) memcpy(connection->incoming + LWS_PRE + connection->length, bytes, length);
  connection->length += length;
  if (!lws_is_final_fragment(socket) || lws_remaining_packet_payload(socket)) return;
  struct message *message = malloc(sizeof *message);
  *message = (struct message){NULL, connection->length, lws_frame_is_binary(socket), connection->incoming};
  connection->incoming = NULL;
  connection->length = connection->capacity = 0;
  if (connection->last) connection->last->next = message;
  else connection->first = message;
  connection->last = message;
  lws_callback_on_writable(socket);
}

static int transmit(struct lws *socket, struct connection *connection) {
  struct message *message;
  while ((message = connection->first) && !lws_send_pipe_choked(socket)) {
    enum lws_write_protocol kind = message->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT;
    if (lws_write(socket, message->bytes + LWS_PRE, message->length, kind) < (int)message->length) return -1;
    connection->first = message->next;
    if (!connection->first) connection->last = NULL;
    free(message->bytes);
    free(message);
  }
  if (connection->first) lws_callback_on_writable(socket);
  return 0;
}

static void drop(struct connection *connection) {
  struct message *message;
  while ((message = connection->first)) {
    connection->first = message->next;
    free(message->bytes);
    free(message);
  }
  free(connection->incoming);
}

static int event(struct lws *socket, enum lws_callback_reasons reason, void *user, void *bytes, size_t length) {
  switch (reason) {
  case LWS_CALLBACK_RECEIVE: receive(socket, user, bytes, length); return 0;
  case LWS_CALLBACK_SERVER_WRITEABLE: return transmit(socket, user);
  case LWS_CALLBACK_CLOSED: drop(user); return 0;
  default: return 0;
  }
}

static const struct lws_protocols protocols[] = {
  {"default", event, sizeof(struct connection), 65536, 0, NULL, 0},
  {NULL, NULL, 0, 0, 0, NULL, 0},
};

int main(int count, char **arguments) {
  if (count < 2) {
    fprintf(stderr, "usage: lws_server PORT\n");
    return 2;
  }
  lws_set_log_level(LLL_ERR, NULL);
  struct lws_context_creation_info info;
  memset(&info, 0, sizeof info);
  info.port = atoi(arguments[1]);
  info.iface = "127.0.0.1";
  info.protocols = protocols;
  info.options = LWS_SERVER_OPTION_DISABLE_IPV6;
  info.pt_serv_buf_size = 262144;
  struct lws_context *context = lws_create_context(&info);
  if (!context) return 1;
  while (lws_service(context, 0) >= 0) {
  }
  return 0;
}
