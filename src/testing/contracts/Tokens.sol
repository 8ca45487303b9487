// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// An ERC-20 token in its plain form; anyone may mint.
contract Token {
    string public name;
    string public symbol;
    uint8 public immutable decimals;
    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    constructor(string memory name_, string memory symbol_, uint8 decimals_) {
        name = name_;
        symbol = symbol_;
        decimals = decimals_;
    }

    function mint(address to, uint256 value) external {
        unchecked {
            totalSupply += value; // may wrap: a test mints 2^256-1 more than once
            balanceOf[to] += value;
        }
        emit Transfer(address(0), to, value);
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        if (value > 0) allowance[from][msg.sender] -= value;
        _move(from, to, value);
        return true;
    }

    function _move(address from, address to, uint256 value) private {
        balanceOf[from] -= value;
        unchecked {
            balanceOf[to] += value;
        }
        emit Transfer(from, to, value);
    }
}

/// Keeps a part of every transfer, of which its event says nothing; and balances may change without any event.
contract FeeToken {
    string public constant symbol = "FEE";
    uint8 public constant decimals = 6;
    uint256 public immutable feePercent;
    mapping(address => uint256) public balanceOf;

    event Transfer(address indexed from, address indexed to, uint256 value);

    constructor(uint256 feePercent_) {
        feePercent = feePercent_;
    }

    function mint(address to, uint256 value) external {
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function transfer(address to, uint256 value) external returns (bool) {
        balanceOf[msg.sender] -= value;
        balanceOf[to] += value - (value * feePercent) / 100;
        emit Transfer(msg.sender, to, value);
        return true;
    }

    /// What a rebasing token does to every holder.
    function rebase(address holder, uint256 balance) external {
        balanceOf[holder] = balance;
    }
}

/// Refuses by answering false instead of reverting, and emits nothing, as some old tokens do.
contract RefusingToken {
    uint8 public constant decimals = 6;

    function transfer(address, uint256) external pure returns (bool) {
        return false;
    }
}

/// Emits logs that look like, or nearly like, a Transfer, and moves nothing.
contract Forger {
    uint8 public constant decimals = 6;

    event Transfer(address indexed from, address indexed to, uint256 value);

    bytes32 private constant TRANSFER = keccak256("Transfer(address,address,uint256)");

    /// Its own Transfer of `fake` units, beside `real` units of a real token that the caller has approved.
    function forgeBeside(Token token, address to, uint256 real, uint256 fake) external {
        emit Transfer(msg.sender, to, fake);
        require(token.transferFrom(msg.sender, to, real));
    }

    function forge(address from, address to, uint256 value) external {
        emit Transfer(from, to, value);
    }

    /// ERC-721: the token id is a fourth topic, there is no data.
    function erc721(address from, address to, uint256 tokenId) external {
        bytes32 topic = TRANSFER;
        assembly {
            log4(0, 0, topic, from, to, tokenId)
        }
    }

    /// No argument indexed: one topic, 96 bytes of data.
    function unindexed(address from, address to, uint256 value) external {
        bytes memory data = abi.encode(from, to, value);
        bytes32 topic = TRANSFER;
        assembly {
            log1(add(data, 32), mload(data), topic)
        }
    }

    /// Two indexed arguments, with topics and data exactly as given.
    function raw(bytes32 from, bytes32 to, bytes calldata data) external {
        bytes memory copy = data;
        bytes32 topic = TRANSFER;
        assembly {
            log3(add(copy, 32), mload(copy), topic, from, to)
        }
    }

    /// ERC-1155: another event with another topic.
    function erc1155(address from, address to, uint256 id, uint256 value) external {
        bytes memory data = abi.encode(id, value);
        bytes32 topic = keccak256("TransferSingle(address,address,address,uint256,uint256)");
        assembly {
            log4(add(data, 32), mload(data), topic, caller(), from, to)
        }
    }
}
