// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import "./Tokens.sol";

/// Pays many at once from what it holds (native coin) or what the caller has approved (tokens).
contract Batcher {
    struct Payment {
        Token token; // zero: the native coin
        address to;
        uint256 value;
    }

    function pay(Payment[] calldata payments) external payable {
        for (uint256 i = 0; i < payments.length; i++) {
            Payment calldata payment = payments[i];
            if (address(payment.token) == address(0)) {
                (bool sent, ) = payment.to.call{value: payment.value}("");
                require(sent, "native payment failed");
            } else {
                require(payment.token.transferFrom(msg.sender, payment.to, payment.value));
            }
        }
    }
}

/// Pays out of its own tokens once two of its owners have said so; whoever is second makes the payment.
contract Multisig {
    mapping(address => bool) private isOwner;
    mapping(bytes32 => address) private firstToConfirm;

    constructor(address[] memory owners) {
        for (uint256 i = 0; i < owners.length; i++) isOwner[owners[i]] = true;
    }

    function confirm(Token token, address to, uint256 value) external {
        require(isOwner[msg.sender], "not an owner");
        bytes32 payment = keccak256(abi.encode(token, to, value));
        address first = firstToConfirm[payment];
        if (first == address(0)) {
            firstToConfirm[payment] = msg.sender;
        } else {
            require(first != msg.sender, "one owner twice");
            require(token.transfer(to, value));
        }
    }
}

/// Carries out what a holder has signed; anybody may bring it and pays the gas.
contract Relay {
    mapping(address => uint256) public nonces;

    function pay(Token token, address from, address to, uint256 value, uint8 v, bytes32 r, bytes32 s) external {
        bytes32 payment = keccak256(abi.encode(address(this), token, to, value, nonces[from]++));
        bytes32 digest = keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", payment));
        require(ecrecover(digest, v, r, s) == from, "not signed by the holder");
        require(token.transferFrom(from, to, value));
    }
}

/// Sends what it was sent on, in an inner call.
contract Forwarder {
    receive() external payable {}

    function forward(address payable to) external payable {
        (bool sent, ) = to.call{value: msg.value}("");
        require(sent, "forward failed");
    }

    /// The payment happens in an inner call that reverts after it; this call succeeds and keeps the value.
    function forwardAndRevertInside(address payable to) external payable {
        try this.forwardThenRevert{value: msg.value}(to) {} catch {}
    }

    function forwardThenRevert(address payable to) external payable {
        (bool sent, ) = to.call{value: msg.value}("");
        require(sent, "forward failed");
        revert("never mind");
    }

    /// Frames that show the value of this call and move none: DELEGATECALL, CALLCODE, STATICCALL.
    function showWithoutMoving(address target) external payable {
        assembly {
            pop(delegatecall(gas(), target, 0, 0, 0, 0))
            pop(callcode(gas(), target, callvalue(), 0, 0, 0, 0))
            pop(staticcall(gas(), target, 0, 0, 0, 0))
        }
    }

    /// A call of the ecrecover precompile before the payment: some tracers show that frame, others do not.
    function forwardAfterPrecompile(address payable to) external payable {
        require(ecrecover(bytes32(0), 0, bytes32(0), bytes32(0)) == address(0));
        (bool sent, ) = to.call{value: msg.value}("");
        require(sent, "forward failed");
    }

    /// Through a second contract: the payment is a call within a call.
    function forwardThrough(Forwarder next, address payable to) external payable {
        next.forward{value: msg.value}(to);
    }
}

/// Leaves all it holds to an address and ceases to be.
contract Leaver {
    constructor() payable {}

    function depart(address payable to) external {
        selfdestruct(to);
    }
}

/// Holds what it was made with.
contract Vault {
    constructor() payable {}
}

/// What it is paid is also told by a log of the native coin's own address, as EIP-7708 has it.
contract Echo {
    receive() external payable {
        Forger(0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE).forge(msg.sender, address(this), msg.value);
    }
}

/// Makes contracts with value, at addresses known beforehand (EIP-1014).
contract Maker {
    function make(bytes32 salt) external payable {
        new Vault{salt: salt, value: msg.value}();
    }

    function addressOf(bytes32 salt) external view returns (address) {
        bytes32 digest = keccak256(
            abi.encodePacked(bytes1(0xff), address(this), salt, keccak256(type(Vault).creationCode))
        );
        return address(uint160(uint256(digest)));
    }
}
