/* port-list: lets connections to listed ports pass, and leaves the rest to the next policy.
 *
 *   setting   default  meaning
 *   tcp       none     TCP ports and ranges: [22, 443, "6000-6010"]
 *   udp       none     UDP ports and ranges
 *   label     none     label of the states that are made
 *
 *   rule 1: a TCP port of the list    rule 2: a UDP port of the list
 */
#include "policy.h"

static eg_ports tcp, udp;
static uint16_t label;

static bool setup(void) {
  eg_text name;
  if (!eg_text_setting("label", &name)) return false;
  if (name.length) label = eg_find_label(name.bytes);
  return eg_ports_setting("tcp", &tcp) && eg_ports_setting("udp", &udp);
}

static eg_decision decide(const eg_packet *packet) {
  if (eg_is_tcp(packet) && eg_has_port(&tcp, packet->dport))
    return (eg_decision){.action = EG_PASS, .rule = 1, .label = label};
  if (eg_is_udp(packet) && eg_has_port(&udp, packet->dport))
    return (eg_decision){.action = EG_PASS, .rule = 2, .label = label};
  return EG_GO_ON;
}

EG_POLICY(setup, decide)
