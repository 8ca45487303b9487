/** The wallet whose accounts every anvil has, by a library of its own: what derived addresses are held against. */
import { toHdKey } from "ox/Mnemonic";
import { mnemonicToAccount } from "viem/accounts";
import type { Address } from "../core/hex.ts";

export const TEST_MNEMONIC = "test test test test test test test test test test test junk";

/** m/44'/60'/<account>'/0/<index>, lower-case. */
export function walletAddress(index: number, account = 0): Address {
  const wallet = mnemonicToAccount(TEST_MNEMONIC, { accountIndex: account, addressIndex: index });
  return wallet.address.toLowerCase() as Address;
}

/** The extended keys at a path: an account's, unless another is named. */
export function walletKey(path = "m/44'/60'/0'"): { readonly public: string; readonly private: string } {
  const key = toHdKey(TEST_MNEMONIC).derive(path);
  return { public: key.publicExtendedKey, private: key.privateExtendedKey };
}
