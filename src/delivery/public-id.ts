/**
 * How events and deliveries are called outside: `evt_` or `dlv_` and the row's UUID without dashes. No full stop
 * can be in it, which a `webhook-id` must not have.
 */
import { InputError } from "../core/errors.ts";

const HEX_UUID = /^[0-9a-f]{32}$/;

/** The `webhook-id` of every attempt of every delivery of this event. */
export function publicEventId(eventId: string): string {
  return `evt_${eventId.replaceAll("-", "")}`;
}

export function publicDeliveryId(deliveryId: string): string {
  return `dlv_${deliveryId.replaceAll("-", "")}`;
}

/**
 * The row's UUID (PostgreSQL reads it without dashes too).
 *
 * @throws {InputError} `not_found` for whatever is no delivery's id
 */
export function parseDeliveryId(text: string): string {
  const hex = text.replace(/^dlv_/, "");
  if (hex === text || !HEX_UUID.test(hex))
    throw new InputError("not_found", "There is no such delivery", { id: text });
  return hex;
}

/** @throws {InputError} `invalid_cursor` for whatever is no event's id */
export function parseEventId(text: string): string {
  const hex = text.replace(/^evt_/, "");
  if (hex === text || !HEX_UUID.test(hex))
    throw new InputError("invalid_cursor", "It is not the id of an event");
  return hex;
}
