/* my-policy: lets TCP connections to the ports of a list pass. */
#include "policy.h"

static eg_ports ports;
static eg_counter others;

/* Reads the settings and resolves names; false, after saying why, refuses to run. */
static bool setup(void) {
  eg_find_counter(&others, "others");
  return eg_ports_setting("ports", &ports);
}

/* Decides about one packet that belongs to no state. */
static eg_decision decide(const eg_packet *packet) {
  if (eg_is_tcp(packet) && eg_has_port(&ports, packet->dport))
    return (eg_decision){.action = EG_PASS, .rule = 1};
  eg_add(others, 1);
  return EG_GO_ON;
}

EG_POLICY(setup, decide)
