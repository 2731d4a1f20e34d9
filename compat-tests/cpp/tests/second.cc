// A second object with the same headers: what they define may be in both.
#define RSL_EXPORTS
#include "rslutil.h"

unsigned long long ChecksumInAnotherObject(const void* data, size_t length);
RSLib::RSLMemberSet* SetInAnotherObject();

unsigned long long ChecksumInAnotherObject(const void* data, size_t length) {
    return RSLib::RSLUtils::CalculateChecksum(data, length);
}

RSLib::RSLMemberSet* SetInAnotherObject() {
    RSLib::RSLNodeCollection nodes;
    nodes.Append(RSLib::RSLNode());
    return new RSLib::RSLMemberSet(nodes, NULL, 0);
}
