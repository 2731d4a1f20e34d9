// The commands of the control port.
#ifndef HOST_COMMANDS_H
#define HOST_COMMANDS_H

#include <functional>

#include "machine.h"

namespace host {

// The words of a command line.
class Words {
public:
    explicit Words(const std::string& line) : m_in(line) {}

    bool Next(std::string* word) { return static_cast<bool>(m_in >> *word); }
    std::string Need(const char* what) {
        std::string word;
        if (!Next(&word)) {
            throw Wrong(std::string(what) + " is missing");
        }
        return word;
    }
    uint64_t Number(const char* what, uint64_t most = UINT64_MAX) { return ParseNumber(Need(what), what, most); }
    uint64_t Optional(const char* what, uint64_t otherwise) {
        std::string word;
        return Next(&word) ? ParseNumber(word, what, UINT64_MAX) : otherwise;
    }
    bool Flag() {
        const std::string word = Need("0 or 1");
        if (word != "0" && word != "1") {
            throw Wrong("expected 0 or 1");
        }
        return word == "1";
    }
    Bytes OptionalHex() {
        std::string word;
        return Next(&word) ? ParseHex(word) : Bytes();
    }
    void End() {
        std::string word;
        if (Next(&word)) {
            throw Wrong("unexpected: " + word);
        }
    }

private:
    std::istringstream m_in;
};

class Commands {
public:
    Commands(Machine& machine, const std::string& id) : m_machine(machine), m_id(id), m_changes(1000) {}

    // Answers one line; `end` gets the exit code when the process is to end after the answer.
    std::string Run(const std::string& line, int* end) {
        Words words(line);
        std::string command;
        try {
            if (!words.Next(&command)) {
                throw Wrong("empty line");
            }
            if (command == "exit") {
                *end = 0;
                return Ok();
            }
            if (command == "crash") {
                std::_Exit(42);
            }
            return Answer(command, words);
        } catch (const Wrong& wrong) {
            return Json().Text("error", wrong.what()).Done();
        }
    }

private:
    static std::string Ok() { return Json().Flag("ok", true).Done(); }
    static std::string Rc(RSLib::RSLResponseCode code) { return Json().Text("rc", CodeName(code)).Done(); }

    std::string Answer(const std::string& command, Words& words) {
        Machine& m = m_machine;
        std::string answer = Ok();
        if (command == "replicate") {
            return Replicate(words, Batched, true);
        } else if (command == "replicate-exclusive") {
            return Replicate(words, Exclusive, true);
        } else if (command == "replicate-last") {
            return Replicate(words, Last, true);
        } else if (command == "replicate-nowait") {
            return Replicate(words, Batched, false);
        } else if (command == "replicate-random") {
            return ReplicateRandom(words, Batched);
        } else if (command == "replicate-random-exclusive") {
            return ReplicateRandom(words, Exclusive);
        } else if (command == "fastread") {
            return FastRead(words);
        } else if (command == "bootstrap") {
            return Bootstrap(words);
        } else if (command == "changeconfig") {
            const RSLib::RSLNodeCollection nodes = ParseMembers(words.Need("the member list"));
            Bytes cookie = words.OptionalHex();
            words.End();
            RSLib::RSLMemberSet set(nodes, cookie.data(), static_cast<unsigned int>(cookie.size()));
            return Rc(m.ChangeConfiguration(&set, reinterpret_cast<void*>(static_cast<uintptr_t>(m_changes++))));
        } else if (command == "copystate") {
            const uint64_t cookie = words.Optional("the cookie", 0);
            words.End();
            return Rc(m.CopyStateFromReplica(reinterpret_cast<void*>(static_cast<uintptr_t>(cookie))));
        } else if (command == "wait-seq") {
            const uint64_t seq = words.Number("the sequence number");
            const uint64_t timeout = words.Optional("the time in milliseconds", 60000);
            words.End();
            m.WaitFor(seq, std::chrono::milliseconds(timeout));
            return Status();
        } else if (command == "checkpoint") {
            words.End();
            const char save[] = "\0SAV";
            return Submit(std::vector<Bytes>(1, Bytes(save, save + 4)), Batched, true);
        } else if (command == "pad") {
            const char pad[] = "\0PAD";
            Bytes request(pad, pad + 4);
            PutNumber(request, words.Number("the padding"), 8);
            words.End();
            return Submit(std::vector<Bytes>(1, request), Batched, true);
        } else if (command == "status") {
            answer = Status();
        } else if (command == "config") {
            answer = Configuration();
        } else if (command == "primary") {
            RSLib::RSLNode node;
            m.GetCurrentPrimary(&node);
            answer = Node(node);
        } else if (command == "replicas") {
            answer = Replicas();
        } else if (command == "stats") {
            answer = Stats();
        } else if (command == "stable") {
            answer = Json().Flag("stable", m.IsInStableState()).Done();
        } else if (command == "pending") {
            answer = Json().Flag("pending", m.IsAnyRequestPendingExecution()).Done();
        } else if (command == "relinquish") {
            m.RelinquishPrimary();
        } else if (command == "promote") {
            m.AttemptPromotion();
        } else if (command == "election-delay") {
            m.ChangeElectionDelay(static_cast<unsigned int>(words.Number("the delay", UINT32_MAX)));
        } else if (command == "payload") {
            m.SetVotePayload(words.Number("the payload"));
        } else if (command == "allowsave") {
            m.AllowSaveState(words.Flag());
        } else if (command == "global-accept") {
            m.SetAcceptMessages(words.Flag());
        } else if (command == "trysave") {
            m.maySave = words.Flag();
        } else if (command == "accept") {
            m.accept = words.Flag();
        } else if (command == "canbecome") {
            m.mayLead = words.Flag();
        } else if (command == "cookie") {
            m.SetCookie(words.OptionalHex());
        } else if (command == "exec-delay") {
            m.execDelay = words.Number("the delay");
        } else if (command == "save-delay") {
            m.saveDelay = words.Number("the delay");
        } else if (command == "pause") {
            m.Pause();
        } else if (command == "resume") {
            m.Resume();
        } else if (command == "unload") {
            // Without a spawn routine the process ends here.
            m.UnloadThisOne();
        } else {
            throw Wrong("unknown command: " + command.substr(0, 40));
        }
        words.End();
        return answer;
    }

    enum Grouping { Batched, Exclusive, Last };

    RSLib::RSLResponseCode SubmitOne(Bytes& request, void* cookie, Grouping grouping) {
        switch (grouping) {
        case Batched:
            return m_machine.ReplicateRequest(request.data(), request.size(), cookie);
        case Exclusive:
            return m_machine.ReplicateRequestExclusiveVote(request.data(), request.size(), cookie);
        case Last:
            break;
        }
        return m_machine.ReplicateRequestExclusiveVote(request.data(), request.size(), cookie, true);
    }

    std::string Replicate(Words& words, Grouping grouping, bool wait) {
        std::vector<Bytes> requests;
        std::string word;
        while (words.Next(&word)) {
            requests.push_back(ParseHex(word));
        }
        if (requests.empty()) {
            throw Wrong("no request is given");
        }
        return Submit(requests, grouping, wait);
    }

    std::string Submit(const std::vector<Bytes>& requests, Grouping grouping, bool wait) {
        size_t at = 0;
        return SubmitAll(requests.size(), [&] { return requests[at++]; }, grouping, UINT64_MAX, 60000, wait);
    }

    // N SIZE [WINDOW] [TIMEOUTMS] [SEED]
    std::string ReplicateRandom(Words& words, Grouping grouping) {
        const uint64_t count = words.Number("the number of requests", UINT32_MAX);
        const uint64_t size = words.Number("the size", 1u << 30);
        const uint64_t window = words.Optional("the window", UINT64_MAX);
        const uint64_t timeout = words.Optional("the time in milliseconds", 60000);
        std::string seed;
        const bool seeded = words.Next(&seed);
        words.End();
        if (size == 0 || window == 0) {
            throw Wrong("size and window must be at least 1");
        }
        Random random;
        {
            std::lock_guard<std::mutex> lock(m_mutex);
            random = seeded ? Random(ParseNumber(seed, "the seed", UINT64_MAX)) : m_random;
        }
        const std::string answer =
            SubmitAll(count, [&] { return random.Request(static_cast<size_t>(size)); }, grouping, window, timeout, true);
        std::lock_guard<std::mutex> lock(m_mutex);
        m_random = random;
        return answer;
    }

    std::string SubmitAll(uint64_t count, const std::function<Bytes()>& next, Grouping grouping, uint64_t window, uint64_t timeout, bool wait) {
        const std::shared_ptr<Batch> batch(new Batch);
        const uint64_t number = m_machine.AddBatch(batch);
        const Clock::time_point started = Clock::now();
        const Clock::time_point deadline = started + std::chrono::milliseconds(timeout);
        RSLib::RSLResponseCode refused = RSLib::RSLSuccess;
        for (uint64_t i = 0; i < count && refused == RSLib::RSLSuccess; i++) {
            Bytes request = next();
            refused = SubmitInWindow(batch, number, request, grouping, window, deadline);
        }
        std::unique_lock<std::mutex> lock(batch->mutex);
        if (wait) {
            batch->changed.wait_until(lock, deadline, [&] { return batch->InFlight() == 0; });
        }
        if (wait || batch->InFlight() == 0) {
            m_machine.ForgetBatch(number);
        }
        const double secs = std::chrono::duration<double>(Clock::now() - started).count();
        std::vector<uint64_t> sorted = batch->latencies;
        std::sort(sorted.begin(), sorted.end());
        const std::function<uint64_t(size_t)> percentile = [&](size_t percent) {
            const size_t at = (sorted.size() * percent + 99) / 100;
            return sorted.empty() ? 0 : sorted[at == 0 ? 0 : at - 1];
        };
        Json json;
        json.Text("rc", CodeName(refused)).Number("issued", batch->starts.size()).Number("executed", sorted.size());
        json.Number("aborted", batch->aborted).Text("lastAbort", batch->lastAbort < 0 ? "" : CodeName(batch->lastAbort));
        json.Number("seq", batch->lastSeq);
        lock.unlock();
        json.Text("hash", Hex64(m_machine.GetState().hash)).Real("secs", secs).Real("ops", secs > 0 ? static_cast<double>(sorted.size()) / secs : 0);
        return json.Number("p50us", percentile(50)).Number("p99us", percentile(99)).Number("maxus", percentile(100)).Done();
    }

    // One request, once there is room in the window; a full queue is tried again.
    RSLib::RSLResponseCode SubmitInWindow(const std::shared_ptr<Batch>& batch, uint64_t number, Bytes& request, Grouping grouping, uint64_t window, Clock::time_point deadline) {
        for (;;) {
            uint64_t index = 0;
            {
                std::unique_lock<std::mutex> lock(batch->mutex);
                if (!batch->changed.wait_until(lock, deadline, [&] { return batch->InFlight() < window; })) {
                    return RSLib::RSLQueueFull;
                }
                index = batch->starts.size();
                batch->starts.push_back(Clock::now());
            }
            const RSLib::RSLResponseCode code = SubmitOne(request, Machine::Cookie(number, index), grouping);
            if (code == RSLib::RSLSuccess) {
                return code;
            }
            {
                std::lock_guard<std::mutex> lock(batch->mutex);
                batch->starts.pop_back();
            }
            if (code != RSLib::RSLQueueFull || Clock::now() >= deadline) {
                return code;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }

    // [SEQ] [TIMEOUTMS]
    std::string FastRead(Words& words) {
        const uint64_t seq = words.Optional("the sequence number", 0);
        const uint64_t timeout = words.Optional("the time in milliseconds", 0);
        words.End();
        const uint64_t number = m_machine.AddRead();
        char request[] = "read";
        const RSLib::RSLResponseCode code =
            timeout == 0 ? m_machine.FastReadRequest(seq, request, 4, Machine::Cookie(number, 0))
                         : m_machine.FastReadRequest(seq, request, 4, Machine::Cookie(number, 0), static_cast<unsigned int>((std::min)(timeout, uint64_t(UINT32_MAX))));
        Read read;
        const bool taken = code == RSLib::RSLSuccess;
        if (!m_machine.TakeRead(number, std::chrono::milliseconds(taken ? timeout + 60000 : 0), &read) && taken) {
            throw Wrong("the read did not end");
        }
        Json json;
        json.Text("rc", CodeName(code));
        if (taken && read.abort >= 0) {
            json.Text("abort", CodeName(read.abort));
        } else if (taken) {
            json.Number("seq", read.seq).Number("count", read.count).Text("hash", Hex64(read.hash));
        }
        return json.Done();
    }

    // MEMBERS [TIMEOUTS] [COOKIEHEX]
    std::string Bootstrap(Words& words) {
        const RSLib::RSLNodeCollection nodes = ParseMembers(words.Need("the member list"));
        const uint64_t timeout = words.Optional("the time in seconds", 30);
        Bytes cookie = words.OptionalHex();
        words.End();
        RSLib::RSLMemberSet set(nodes, cookie.data(), static_cast<unsigned int>(cookie.size()));
        return Rc(m_machine.Bootstrap(&set, static_cast<unsigned int>(timeout)));
    }

    static std::string Node(const RSLib::RSLNode& node) {
        Json json;
        json.Text("id", node.m_memberIdString).Text("ip", IpText(node.m_ip)).Number("port", node.m_rslPort);
        return json.Number("learnPort", node.m_rslLearnPort).Text("hostName", node.m_hostName).Done();
    }

    template <class T, class F>
    static std::string List(const T& items, size_t count, F text) {
        std::string list = "[";
        for (size_t i = 0; i < count; i++) {
            list += (i == 0 ? "" : ", ") + text(items[i]);
        }
        return list + "]";
    }

    std::string Configuration() {
        RSLib::RSLMemberSet set;
        unsigned int number = 0;
        m_machine.GetConfiguration(&set, &number);
        RSLib::RSLNodeCollection nodes;
        set.GetMemberCollection(nodes);
        unsigned int length = 0;
        void* cookie = set.GetConfigurationCookie(&length);
        Json json;
        json.Number("number", number).Raw("members", List(nodes, nodes.Count(), Node));
        return json.Text("cookie", Hex(cookie, length)).Done();
    }

    static std::string Health(const RSLib::ReplicaHealth& health) {
        Json json;
        json.Text("id", health.m_memberId).Flag("isPrimary", health.m_isPrimary).Flag("connected", health.m_connected);
        json.Number("outstanding", static_cast<uint64_t>(health.m_numOutstanding)).Number("lastVotedDecree", health.m_lastRequestVotedDecree);
        json.Number("failures", health.m_consecutiveFailures).Flag("needsResolve", health.m_needsResolve);
        return json.Number("payload", health.m_lastVotePayload).Done();
    }

    std::string Replicas() {
        std::vector<RSLib::ReplicaHealth> found(4);
        unsigned short needed = 0;
        while ((needed = m_machine.GetReplicasInformation(static_cast<unsigned short>(found.size()), found.data())) != 0) {
            found.resize(needed);
        }
        size_t count = 0;
        while (count < found.size() && found[count].m_memberId[0] != '\0') {
            count++;
        }
        return Json().Raw("replicas", List(found, count, Health)).Done();
    }

    std::string Stats() {
        RSLib::RSLStats s;
        memset(&s, 0, sizeof s);
        s.m_cbSizeOfThisStruct = sizeof s;
        m_machine.GetStatisticsSnapshot(&s);
        Json json;
        json.Number("captureTimeInMicroseconds", s.m_cCaptureTimeInMicroseconds).Number("decreesExecuted", s.m_cDecreesExecuted);
        json.Number("logReads", s.m_cLogReads).Number("logReadBytes", s.m_cLogReadBytes);
        json.Number("logReadMicroseconds", s.m_cLogReadMicroseconds).Number("logReadMaxMicroseconds", s.m_cLogReadMaxMicroseconds);
        json.Number("logWrites", s.m_cLogWrites).Number("logWriteBytes", s.m_cLogWriteBytes);
        json.Number("logWriteMicroseconds", s.m_cLogWriteMicroseconds).Number("logWriteMaxMicroseconds", s.m_cLogWriteMaxMicroseconds);
        json.Number("votingTimeMicroseconds", s.m_cVotingTimeMicroseconds);
        return json.Number("votingTimeMaxMicroseconds", s.m_cVotingTimeMaxMicroseconds).Done();
    }

    static std::string Ballot(uint32_t id, const char* member) { return "[" + std::to_string(id) + ", " + Quoted(member) + "]"; }

    static std::string Log(const RSLib::Extensions::LogFile& file) {
        return Json().Number("min", file.m_first).Number("max", file.m_last).Number("len", file.m_length).Done();
    }

    std::string Status() {
        static const char* const roles[] = {"PaxosInactive", "StablePrimary", "StableSecondary", "Preparing", "Initializing"};
        rsl_engine_status s;
        std::vector<RSLib::Extensions::LogFile> logs;
        if (!m_machine.GetEngineStatus(&s, &logs) || s.role < 0 || s.role > 4) {
            throw Wrong("the replica is not running");
        }
        const State state = m_machine.GetState();
        const Machine::Seen seen = m_machine.GetSeen();
        Json json;
        json.Text("id", m_id).Text("state", roles[s.role]).Flag("isPrimary", seen.primary).Flag("recovered", seen.recovered);
        json.Number("version", static_cast<uint64_t>(s.version)).Number("seq", m_machine.GetCurrentSequenceNumber());
        json.Number("highestPassed", m_machine.GetHighestPassedSequenceNumber());
        json.Number("count", state.count).Text("hash", Hex64(state.hash)).Number("lastSeq", state.lastSeq).Number("pad", state.pad);
        json.Text("last", Hex(state.last.data(), (std::min)(state.last.size(), size_t(32))));
        json.Number("maxAcceptedDecree", s.accepted_decree).Raw("maxAcceptedBallot", Ballot(s.accepted_ballot, s.accepted_member));
        json.Number("maxAcceptedConfig", s.accepted_configuration).Raw("maxBallot", Ballot(s.promised_ballot, s.promised_member));
        json.Number("checkpointedDecree", s.checkpointed_decree).Number("checkpointSize", s.checkpoint_size);
        json.Number("configNumber", s.configuration).Number("stateConfigNumber", s.state_configuration).Number("defunct", s.defunct);
        json.Raw("logs", List(logs, logs.size(), Log)).Number("saveCheckpointAt", s.save_checkpoint_at);
        json.Number("copyCheckpointAt", s.copy_checkpoint_at).Number("isSaving", static_cast<uint64_t>(s.is_saving));
        json.Text("currentPrimary", s.current_primary).Number("notify", m_machine.notify).Number("saves", m_machine.saves);
        json.Number("loads", m_machine.loads).Number("confs", m_machine.confs).Number("abortConfs", m_machine.abortConfs);
        json.Number("copied", m_machine.copied).Number("aborts", m_machine.aborts).Number("fastReads", m_machine.fastReads);
        json.Text("lastSaved", seen.lastSaved).Text("lastCopied", seen.lastCopied);
        return json.Text("acceptCookie", Hex(seen.acceptCookie.data(), seen.acceptCookie.size())).Done();
    }

    Machine& m_machine;
    const std::string m_id;
    std::atomic<uint64_t> m_changes;
    std::mutex m_mutex;
    Random m_random;
};

} // namespace host

#endif
